// The program cache beside the node's loop: its disk may be slow, or hang, and costs nobody the session.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "core/side_thread.hpp"
#include "net/event_loop.hpp"
#include "node/program_cache.hpp"

namespace dc::node {

/// The members of ProgramCache, whose answers come on the loop.
class CacheThread {
 public:
  CacheThread(net::EventLoop& loop, std::string dir)
      : post_(loop.poster()), cache_(std::make_shared<ProgramCache>(std::move(dir))) {}
  [[nodiscard]] std::string path(const std::string& hash) const { return cache_->path(hash); }

  template <class Then>  // Then(bool)
  void use(const std::string& hash, Then then) {
    run([hash](ProgramCache& cache) { return cache.use(hash); }, std::move(then));
  }
  template <class Then>  // Then(bool)
  void check(const std::string& hash, Then then) {
    run([hash](ProgramCache& cache) { return cache.check(hash); }, std::move(then));
  }
  template <class Then>  // Then(std::string)
  void store(const std::string& hash, Payload program, Then then) {
    run([hash, program = std::move(program)](ProgramCache& cache) { return cache.store(hash, program); },
        std::move(then));
  }

 private:
  template <class Work, class Then>
  void run(Work work, Then then) {
    side_.run([post = post_, cache = cache_, work = std::move(work), then = std::move(then)] {
      post([then, result = work(*cache)] { then(result); });
    });
  }

  std::function<void(net::Callback)> post_;
  std::shared_ptr<ProgramCache> cache_;
  SideThread side_;
};

}  // namespace dc::node
