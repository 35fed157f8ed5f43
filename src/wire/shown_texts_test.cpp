// Texts for people are made printable at the door; all others stay what they are.
#include "wire/shown_texts.hpp"

#include <gtest/gtest.h>

#include <utility>

namespace dc::wire {
namespace {

const std::string evil = "a\x1b[2J\nb\u202e";
const std::string fine = "a?[2J b?";

template <class Body>
Body cleaned(Body body) {
  Message message = std::move(body);
  make_printable(message);
  return std::get<Body>(message);
}

TEST(ShownTexts, ArePrintableBehindTheDoor) {
  PoolOptions options;
  options.label = evil;
  EXPECT_EQ(cleaned(OpenPool{PoolId{1}, options, false, {}}).options.label, fine);
  EXPECT_EQ(cleaned(OpenPool{PoolId{1}, options, false, {}, "x", false, false}).options.label, fine);
  EXPECT_EQ(cleaned(OpenPoolHere{PoolId{1}, options, {}}).options.label, fine);
  EXPECT_EQ(cleaned(Goodbye{evil}).message, fine);
  EXPECT_EQ(cleaned(NodeLeaving{evil}).reason, fine);
  EXPECT_EQ(cleaned(Notice{PoolId{1}, evil}).text, fine);
  SlotInfo slot;
  slot.device = slot.trouble = slot.gpu = evil;
  NodeState state;
  state.slots = {slot};
  for (const SlotInfo& shown : {cleaned(state).slots[0], cleaned(SlotsChanged{{slot}}).slots[0]}) {
    EXPECT_EQ(shown.device + shown.trouble + shown.gpu, fine + fine + fine);
  }
  EXPECT_LE(cleaned(NodeLeaving{std::string(1 << 20, 'x')}).reason.size(), limits::shown_text_bytes_max);
}

TEST(ShownTexts, AreNotTheErrorsOfJobsNorWhatWorkersPrint) {
  ErrorInfo error;
  error.message = error.traceback = error.type_name = error.host = evil;
  const ErrorInfo arrived = cleaned(JobError{PoolId{1}, 1, error, {}}).error;
  EXPECT_EQ(arrived.message, evil);
  EXPECT_EQ(arrived.traceback, evil);
  EXPECT_EQ(arrived.host, fine);
  const OutputLines output = cleaned(OutputLines{PoolId{1}, evil, 0, {evil}});
  EXPECT_EQ(output.lines[0], evil) << "the user's own workers: colours, progress bars";
  EXPECT_EQ(output.host, fine);
  EXPECT_EQ(cleaned(OpenPool{PoolId{1}, {}, false, {}, evil, false, false}).pool_name, evil) << "it is known by it";
}

}  // namespace
}  // namespace dc::wire
