// See message_checks.hpp.
#include "head/message_checks.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/limits.hpp"

namespace dc::head {
namespace {

bool is_number(std::uint64_t number) { return number >= 1 && number <= limits::number_max; }

/// Peers name jobs in rising order, so that none stands twice.
std::string wrong_numbers(const char* message, const std::vector<JobSequence>& numbers) {
  JobSequence before = 0;
  for (const JobSequence number : numbers) {
    if (!is_number(number)) return fmt::format("{} with the number {} of a job", message, number);
    if (number <= before) return fmt::format("{} with job {} behind job {}", message, number, before);
    before = number;
  }
  return {};
}

}  // namespace

std::string wrong_in(const wire::SubmitJobs& message) {
  JobSequence before = 0;
  for (const SubmittedJob& job : message.jobs) {
    if (!is_number(job.sequence)) return fmt::format("SubmitJobs with the number {} of a job", job.sequence);
    if (job.sequence <= before) return fmt::format("SubmitJobs with job {} behind job {}", job.sequence, before);
    if (job.after_update > limits::number_max)
      return fmt::format("SubmitJobs with a job after update {}", job.after_update);
    if (job.key.size() > limits::job_key_bytes_max)
      return fmt::format("SubmitJobs with a key of {} bytes", job.key.size());
    before = job.sequence;
  }
  return {};
}

std::string wrong_in(const wire::ResumePool& message) {
  if (!message.pool_name.empty() && !is_number(message.first_own))
    return fmt::format("ResumePool with the number {} of a job", message.first_own);
  const std::string wrong = wrong_numbers(message.name, message.outstanding);
  return wrong.empty() ? wrong_numbers(message.name, message.received) : wrong;
}

std::string wrong_in(const wire::AckOutcomes& message) {
  for (const JobSequence number : message.sequences) {
    if (!is_number(number)) return fmt::format("AckOutcomes with the number {} of a job", number);
  }
  return {};
}

std::string wrong_in(const wire::AddUpdate& message) {
  return message.number > limits::number_max ? fmt::format("AddUpdate with the number {}", message.number) : "";
}

std::string wrong_in(const wire::NeedProgram& message) {
  return is_hash(message.hash) ? "" : "NeedProgram without the hash of a program";
}

std::string wrong_in(const wire::ForgetKeys& message) {
  for (const std::string& key : message.keys) {
    if (key.empty() || key.size() > limits::job_key_bytes_max)
      return fmt::format("ForgetKeys with a key of {} bytes", key.size());
  }
  return {};
}

std::string problem_of_name(const std::string& pool) {
  if (pool.size() > limits::pool_name_bytes_max)
    return fmt::format("the pool's name has {} bytes: at most {} are allowed", pool.size(),
                       limits::pool_name_bytes_max);
  for (const char letter : pool) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F) return "the pool's name has control characters";
  }
  return {};
}

bool is_hash(const std::string& text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char letter) {
           return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'f');
         });
}

}  // namespace dc::head
