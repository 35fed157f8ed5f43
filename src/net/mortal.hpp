// What lives on an event loop and may go while operations of it are under way.
#pragma once

#include <memory>
#include <utility>

namespace dc::net {

/// Base of such a class `Self`, which is held by shared_ptr. Its owner sets `dead_` when nothing more is to be called.
template <class Self>
class Mortal : public std::enable_shared_from_this<Self> {
 protected:
  /// A callback that does nothing once this object is gone or dead, and keeps it alive while it runs. The body gets
  /// the object as its first argument.
  template <class Body>
  auto weakly(Body body) {
    return [weak = this->weak_from_this(), body = std::move(body)](auto&&... arguments) {
      if (const auto self = weak.lock(); self && !self->Mortal::dead_) {
        body(*self, std::forward<decltype(arguments)>(arguments)...);
      }
    };
  }

  bool dead_ = false;
};

}  // namespace dc::net
