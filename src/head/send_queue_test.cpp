// What waits for the store goes out in the order of its lane, and no more is loaded than is read.
#include "head/send_queue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "wire/framing.hpp"

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class SendQueueTest : public testing::Test {
 protected:
  static constexpr SessionId a{1}, b{2};

  static Payload stored(std::size_t size) {
    return Payload::elsewhere(std::make_shared<const std::string>("there"), size);
  }
  static wire::Message value(JobSequence sequence, Payload payload) {
    wire::JobValues values{PoolId{10}, {}};
    values.items.push_back({sequence, std::move(payload)});
    return values;
  }
  /// "passes", or what came of it.
  std::vector<std::string> send(SessionId session, wire::Message message, wire::Lane lane = wire::control_lane) {
    Send send{session, std::move(message), lane};
    if (queue.passes(send, effects)) return {"passes"};
    return said();
  }
  std::vector<std::string> said() {
    std::vector<std::string> lines;
    for (SendEffect& effect : std::exchange(effects, {})) {
      if (const auto* load = std::get_if<LoadPayloads>(&effect)) {
        loads.push_back(*load);
        lines.push_back("load " + std::to_string(load->payloads.size()));
      } else if (const auto* tell = std::get_if<TellWritten>(&effect)) {
        lines.push_back("tell when written " + std::to_string(tell->session.value));
      } else if (const auto* bad = std::get_if<Unreadable>(&effect)) {
        lines.push_back("unreadable: " + bad->problem);
      } else {
        lines.push_back(text_of(std::get<Send>(effect)));
      }
    }
    return lines;
  }
  static std::string text_of(const Send& send) {
    const std::string to = "to " + std::to_string(send.session.value) + ": ";
    const auto* values = std::get_if<wire::JobValues>(&send.message);
    if (!values) return to + wire::name_of(send.message);
    std::string text = to + "values";
    for (const wire::ValueItem& item : values->items) {
      EXPECT_FALSE(item.value.is_elsewhere());
      text += " " + std::to_string(item.sequence) + "=" + std::string(item.value.view().substr(0, 4));
    }
    return text;
  }
  /// The store has the first of those that are being loaded; or it has not.
  std::vector<std::string> load(const std::string& problem = {}) {
    LoadPayloads first = std::move(loads.front());
    loads.erase(loads.begin());
    if (problem.empty()) {
      for (Payload& payload : first.payloads) payload = Payload(std::string(payload.size(), 'x'));
    }
    queue.loaded({first.ticket, std::move(first.payloads), problem}, effects);
    return said();
  }
  std::vector<std::string> write(SessionId session) {
    queue.written(session, effects);
    return said();
  }

  SendQueue queue;
  SendEffects effects;
  std::vector<LoadPayloads> loads;
};

TEST_F(SendQueueTest, WhatNeedsNothingPasses) {
  EXPECT_THAT(send(a, wire::PoolClosed{PoolId{10}}), ElementsAre("passes"));
  EXPECT_THAT(send(a, value(1, Payload(std::string("x")))), ElementsAre("passes"));
}

TEST_F(SendQueueTest, KeepsTheOrderOfALaneAndOfNoOther) {
  EXPECT_THAT(send(a, value(1, stored(4)), 7), ElementsAre("load 1"));
  EXPECT_THAT(send(a, wire::PoolClosed{PoolId{10}}, 7), IsEmpty());
  EXPECT_THAT(send(a, value(2, stored(4)), 7), IsEmpty());
  EXPECT_THAT(send(a, value(3, Payload(std::string("y"))), 7), IsEmpty());
  EXPECT_THAT(send(a, wire::PoolClosed{PoolId{10}}, 8), ElementsAre("passes"));
  EXPECT_THAT(send(b, wire::PoolClosed{PoolId{10}}, 7), ElementsAre("passes"));
  EXPECT_EQ(queue.waiting(a), 4U);
  EXPECT_THAT(load(), ElementsAre("to 1: values 1=xxxx", "to 1: PoolClosed", "load 1", "tell when written 1"));
  EXPECT_THAT(load(), ElementsAre("to 1: values 2=xxxx", "to 1: values 3=y"));
  EXPECT_EQ(queue.waiting(a), 0U);
  EXPECT_THAT(send(a, wire::PoolClosed{PoolId{10}}, 7), ElementsAre("passes"));
}

TEST_F(SendQueueTest, LoadsNoMoreThanIsRead) {
  constexpr std::size_t half = limits::loaded_bytes_max / 2;
  EXPECT_THAT(send(a, value(1, stored(half)), 1), ElementsAre("load 1"));
  EXPECT_THAT(send(a, value(2, stored(half)), 2), ElementsAre("load 1"));
  EXPECT_THAT(send(a, value(3, stored(half)), 3), IsEmpty());
  EXPECT_THAT(send(a, value(4, stored(1)), 4), IsEmpty()) << "those behind it wait too";
  EXPECT_THAT(send(b, value(5, stored(half)), 1), ElementsAre("load 1")) << "another session does not";
  EXPECT_THAT(load(), ElementsAre("to 1: values 1=xxxx", "tell when written 1"));
  EXPECT_THAT(load(), ElementsAre("to 1: values 2=xxxx")) << "it is told already";
  EXPECT_THAT(write(a), ElementsAre("load 1", "load 1"));
}

TEST_F(SendQueueTest, LoadsOneThatIsLargerThanTheRoom) {
  EXPECT_THAT(send(a, value(1, stored(2 * limits::loaded_bytes_max)), 1), ElementsAre("load 1"));
  EXPECT_THAT(send(a, value(2, stored(2 * limits::loaded_bytes_max)), 2), IsEmpty());
  EXPECT_THAT(load(), ElementsAre("to 1: values 1=xxxx", "tell when written 1"));
  EXPECT_THAT(write(a), ElementsAre("load 1"));
}

TEST_F(SendQueueTest, ForgetsASessionThatIsOver) {
  EXPECT_THAT(send(a, value(1, stored(4)), 1), ElementsAre("load 1"));
  queue.closed(a);
  EXPECT_THAT(load(), IsEmpty());
  EXPECT_THAT(write(a), IsEmpty());
}

TEST_F(SendQueueTest, SaysWhatCannotBeRead) {
  EXPECT_THAT(send(a, value(1, stored(4)), 1), ElementsAre("load 1"));
  EXPECT_THAT(send(a, value(2, Payload(std::string("y"))), 1), IsEmpty());
  EXPECT_THAT(load("it is damaged"),
              ElementsAre("unreadable: it is damaged", "to 1: values 2=y", "tell when written 1"));
}

TEST_F(SendQueueTest, LooksAtEveryMessageThatMayNeedTheStore) {
  EXPECT_THAT(send(a, wire::JobError{PoolId{10}, 1, {}, stored(4)}, 1), ElementsAre("load 1"));
  EXPECT_THAT(send(a, wire::OutcomesSeen{true, {{1, false, {}, stored(4)}, {2, false, {}, stored(5)}}, 2}, 2),
              ElementsAre("load 2"));
  EXPECT_THAT(send(b, wire::RunJobs{WorkerId{1}, {{{1, {1, 1}}, 0, stored(4)}}}, 1), ElementsAre("load 1"));
  EXPECT_THAT(load(), ElementsAre("to 1: JobError", "tell when written 1"));
  EXPECT_THAT(load(), ElementsAre("to 1: OutcomesSeen"));
  EXPECT_THAT(load(), ElementsAre("to 2: RunJobs", "tell when written 2"));
}

}  // namespace
}  // namespace dc::head
