// A file that appears whole or not at all.
#pragma once

#include <string>
#include <string_view>

#include "core/result.hpp"

namespace dc::cli {

/// Stands beside the place that it is to have, with mode 0600, and is removed at the end unless it was put there.
class NewFile {
 public:
  /// An empty one for `path`. `invalid`: something is there already; `io`: it cannot be made.
  static Result<NewFile> make_for(const std::string& path);
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  /// With what SQLite keeps beside it.
  ~NewFile();

  /// Where it is until put().
  [[nodiscard]] const std::string& fresh_path() const { return fresh_; }
  /// Makes this its content, and brings it to the disk. `io`.
  Result<void> write(std::string_view text);
  /// To its place, also if the power is lost now. `invalid`: something is there by now; `io`.
  Result<void> put();

 private:
  NewFile(std::string path, std::string fresh) : path_(std::move(path)), fresh_(std::move(fresh)) {}

  std::string path_;
  std::string fresh_;  ///< empty: it was put, or belongs to another object
};

}  // namespace dc::cli
