// Classes in C++ inside the worker runtime.
#include "worker/runtime_for_tests.hpp"

namespace dc::worker {
namespace {

/// What `what()` gives may be of any length and any bytes.
class OddObject final : public detail::WorkerObject {
 public:
  OddObject() {
    std::signal(SIGTERM, [](int) { say("H"); });
    std::atexit([] { say("A"); });
  }
  ~OddObject() override { say("D"); }
  std::string run(std::string_view what) override {
    if (what == "long") throw std::runtime_error("begin" + std::string(10 << 20, '\xfe') + "end");
    if (what == "number") throw 42;
    if (what == "exit") std::exit(42);
    return std::string(what);
  }
  void update(std::string_view what) override { run(what); }

 private:
  static void say(const char* what) { [[maybe_unused]] const auto written = ::write(said[1], what, 1); }
};
const bool odd_registered =
    detail::register_worker("Odd", [](const msgpack::object& arguments) -> std::unique_ptr<detail::WorkerObject> {
      const auto how = arguments.as<std::string>();
      if (how == "number") throw 42;
      if (how == "long") throw std::runtime_error(std::string(10 << 20, 'x'));
      return std::make_unique<OddObject>();
    });

class CppWorkerTest : public RuntimeTest {
 protected:
  void serve() override { detail::worker_main(); }
  void begin_with(const std::string& how) {
    std::ostringstream spec;
    msgpack::pack(spec, std::make_tuple(std::string("Odd"), how));
    wire::Begin message;
    message.options->label = "Odd";
    message.host = "here";
    message.spec = Payload(spec.str());
    send({message, wire::HistoryEnd{}});
  }
};

TEST_F(CppWorkerTest, WhateverIsThrownIsAnErrorOfTheJobOrUpdate) {
  ASSERT_TRUE(odd_registered);
  begin_with("fine");
  EXPECT_TRUE(std::holds_alternative<wire::WorkerConstructed>(next()));
  send({job(0, "long"), job(1, "number"), job(2, "fine")});
  const ErrorInfo error = *std::get<wire::WorkerError>(next()).error;
  EXPECT_TRUE(error.message.starts_with("std::runtime_error: begin")) << error.message.substr(0, 100);
  EXPECT_TRUE(error.message.ends_with("end"));
  EXPECT_LE(error.message.size(), limits::error_text_bytes_max);
  EXPECT_EQ(std::get<wire::WorkerError>(next()).error->message, "run threw something that is no std::exception");
  EXPECT_EQ(next_value(), "fine");
  send({wire::WorkerUpdate{1, Payload::copy(std::string_view("long"))},
        wire::WorkerUpdate{2, Payload::copy(std::string_view("number"))}, job(3, "still there")});
  EXPECT_EQ(std::get<wire::UpdateDone>(next()).error->type_name, "std::runtime_error");
  EXPECT_EQ(
      std::get<wire::UpdateDone>(next()).error->message,
      "handle_update raised for update 2 on here slot 0: handle_update threw something that is no std::exception");
  EXPECT_EQ(next_value(), "still there");
}

TEST_F(CppWorkerTest, AtItsEndItsHandlerItsDestructorAndTheProgramsEndRun) {
  begin_with("fine");
  next();
  send({wire::Stop{}});
  EXPECT_EQ(exit_status(), 0);
  EXPECT_EQ(heard(), "HDA");
}

TEST_F(CppWorkerTest, ExitInRunIsTheProcessesEnd) {
  begin_with("fine");
  next();
  send({job(0, "exit")});
  EXPECT_EQ(exit_status(), 42);
  EXPECT_EQ(heard(), "A");
}

TEST_F(CppWorkerTest, AConstructorThatThrowsANumber) {
  begin_with("number");
  EXPECT_EQ(std::get<wire::ConstructionFailed>(next()).error->message,
            "the constructor of Odd on here slot 0 threw something that is no std::exception");
}

TEST_F(CppWorkerTest, AConstructorThatSaysMuch) {
  begin_with("long");
  EXPECT_LE(std::get<wire::ConstructionFailed>(next()).error->message.size(), limits::error_text_bytes_max);
}

}  // namespace
}  // namespace dc::worker
