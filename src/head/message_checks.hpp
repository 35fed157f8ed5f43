// What is wrong with a message whatever the head knows: numbers out of bounds, or twice.
#pragma once

#include <string>

#include "wire/messages.hpp"

namespace dc::head {

/// As the end of a sentence; empty: nothing.
std::string wrong_in(const wire::SubmitJobs& message);
std::string wrong_in(const wire::ResumePool& message);
std::string wrong_in(const wire::AckOutcomes& message);
std::string wrong_in(const wire::AddUpdate& message);
std::string wrong_in(const wire::NeedProgram& message);
std::string wrong_in(const wire::ForgetKeys& message);
template <class Other>
std::string wrong_in(const Other&) {
  return {};
}

/// Why no pool may be called so, as a sentence; empty: it may.
std::string problem_of_name(const std::string& pool);

/// SHA-256 in hexadecimal digits: the name of a program.
bool is_hash(const std::string& text);

}  // namespace dc::head
