// See client.hpp.
#include "client.hpp"

namespace dc::sim {

ErrorInfo closed_by_user() {
  ErrorInfo error;
  error.kind = ErrorKind::pool_closed;
  error.message = "the pool is closed";
  return error;
}

Client::Client(World& world, Ledger& ledger, Network& network, const Plan& plan, std::size_t number, std::string name)
    : Peer(world, network, std::move(name)), ledger_(ledger), plan_(plan.pools.at(number)), number_(number) {}

JobRecord& Client::new_record(PoolId pool) {
  JobRecord& record = ledger_.pool(pool).jobs.emplace_back();
  record.conduct = draw_conduct();
  record.duration = world_.chance.skewed(plan_.job_min, plan_.job_max);
  record.result_bytes = world_.chance.percent(plan_.large_share) ? plan_.result_bytes : 0;
  return record;
}

Conduct Client::draw_conduct() {
  const std::uint64_t draw = world_.chance.below(100);
  std::uint64_t below = plan_.raises;
  if (draw < below) return Conduct::raises;
  if (draw < (below += plan_.poison)) return Conduct::poison;
  if (draw < (below += plan_.ends_worker)) return Conduct::ends_worker;
  if (draw < (below += plan_.hangs)) return Conduct::hangs;
  return Conduct::value;
}

Payload Client::payload(const std::string& text, std::size_t bytes) {
  std::string whole = text;
  if (bytes > text.size()) whole += " " + std::string(bytes - text.size(), '.');
  return Payload(std::move(whole));
}

}  // namespace dc::sim
