// For the tests of processes that run out of descriptors.
#pragma once

namespace dc {

/// UBSan looks at an object's type through a pipe that it opens for that; without a free descriptor every type that it
/// has not met before counts as a wrong one. Such tests are left out with it.
#if defined(__clang__)
#if __has_feature(undefined_behavior_sanitizer)
inline constexpr bool sanitizer_opens_pipes = true;
#else
inline constexpr bool sanitizer_opens_pipes = false;
#endif
#else
inline constexpr bool sanitizer_opens_pipes = false;
#endif

}  // namespace dc
