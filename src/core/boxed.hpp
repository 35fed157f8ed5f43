// A value that stands elsewhere: for the large and rare among the alternatives of a variant, which is as large as its
// largest one for every small and frequent one too.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace dc {

/// Behaves as the T that it holds: copies are copies. What was moved from may only be assigned to or destroyed.
template <class T>
class Boxed {
 public:
  Boxed() : value_(std::make_unique<T>()) {}
  template <class U>
  requires(!std::same_as<std::remove_cvref_t<U>, Boxed> && std::constructible_from<T, U>) Boxed(U&& value)
      : value_(std::make_unique<T>(std::forward<U>(value))) {}
  Boxed(const Boxed& other) : value_(std::make_unique<T>(*other)) {}
  Boxed(Boxed&&) noexcept = default;
  Boxed& operator=(const Boxed& other) { return *this = Boxed(other); }
  Boxed& operator=(Boxed&&) noexcept = default;
  ~Boxed() = default;

  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return value_.get(); }
  const T* operator->() const { return value_.get(); }
  friend bool operator==(const Boxed& a, const Boxed& b) { return *a == *b; }

 private:
  std::unique_ptr<T> value_;
};

}  // namespace dc
