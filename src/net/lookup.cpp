// See lookup.hpp.
#include "net/lookup.hpp"

#include <utility>

namespace dc::net {

struct Lookup {
  std::function<void(const Found&)> on_found;
  NameQuestion question;
};

std::shared_ptr<Lookup> look_up(EventLoop& loop, const std::string& name, std::function<void(const Found&)> on_found) {
  auto lookup = std::make_shared<Lookup>(Lookup{std::move(on_found), {}});
  lookup->question = ask_for_name(name, [post = loop.poster(), weak = std::weak_ptr(lookup)](const Found& found) {
    post([weak, found] {
      if (const auto wanted = weak.lock()) wanted->on_found(found);
    });
  });
  return lookup;
}

}  // namespace dc::net
