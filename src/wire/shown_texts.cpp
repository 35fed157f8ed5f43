// See shown_texts.hpp.
#include "wire/shown_texts.hpp"

#include "core/printable.hpp"

namespace dc::wire {
namespace {

void clean(std::string& text, std::size_t bytes_max = limits::shown_text_bytes_max) {
  text = printable(text, bytes_max);
}
void clean(PoolOptions& options) {
  clean(options.label);
  clean(options.python_version);
}
void clean(ErrorInfo& error) { clean(error.host); }
void clean(std::vector<SlotInfo>& slots) {
  for (SlotInfo& slot : slots) {
    clean(slot.device);
    clean(slot.gpu);
    clean(slot.trouble);
  }
}

struct Cleaner {
  void operator()(Hello& hello) const {
    clean(hello.version);
    clean(hello.host);
  }
  void operator()(Welcome& welcome) const {
    clean(welcome.version);
    clean(welcome.host);
  }
  void operator()(Rejected& rejected) const { clean(rejected.message); }
  void operator()(Goodbye& goodbye) const { clean(goodbye.message); }
  void operator()(OpenPool& open) const { clean(open.options); }
  void operator()(PoolOpened& opened) const { clean(opened.options); }
  void operator()(OpenPoolHere& open) const { clean(open.options); }
  void operator()(Notice& notice) const { clean(notice.text, limits::log_line_bytes_max); }
  void operator()(OutputLines& output) const { clean(output.host); }
  void operator()(JobError& failed) const { clean(failed.error); }
  void operator()(JobFailed& failed) const { clean(failed.error); }
  void operator()(PoolFailed& failed) const { clean(failed.error); }
  void operator()(JobsRefused& refused) const { clean(refused.error); }
  void operator()(JobErrors& ended) const { clean(ended.error); }
  void operator()(UpdateFailed& failed) const { clean(failed.error); }
  void operator()(UpdatesApplied& applied) const { clean(applied.error); }
  void operator()(OutcomesSeen& seen) const {
    for (SeenOutcome& item : seen.items) clean(item.error);
  }
  void operator()(PoolHeld& held) const { clean(held.host); }
  void operator()(WorkerExited& exited) const { clean(exited.error); }
  void operator()(NodeState& state) const { clean(state.slots); }
  void operator()(SlotsChanged& changed) const { clean(changed.slots); }
  void operator()(NodeLeaving& leaving) const { clean(leaving.reason); }
  template <class Other>
  void operator()(Other&) const {}
};

}  // namespace

void make_printable(Message& message) { std::visit(Cleaner{}, message); }

}  // namespace dc::wire
