// The smallest program: squares, computed by all workers that can be reached.
//
//   start_node --head --password=123456        (in another terminal)
//   hello 123456 [ADDRESS [PORT]]
#include <distributed_computing/distributed_computing.hpp>

#include <iostream>
#include <ranges>
#include <string>

class Squarer : public dc::WorkerInterface {
 public:
  int run(int x) { return x * x; }
};
DISTRIBUTED_COMPUTING_WORKER(Squarer);

int main(int argc, char** argv) {
  dc::initialize(argc, argv);  // never returns in a worker process
  if (argc < 2) return std::cerr << "usage: hello PASSWORD [ADDRESS [PORT]]\n", 2;
  try {
    dc::PoolSettings settings{.password = argv[1]};
    if (argc > 2) settings.address = argv[2];
    if (argc > 3) settings.port = static_cast<std::uint16_t>(std::stoi(argv[3]));
    dc::Pool<Squarer> pool(settings);
    for (int square : pool.map(std::views::iota(1, 11))) std::cout << square << " ";
    std::cout << "from " << pool.get_workers_count() << " workers on " << pool.get_nodes_count() << " machines\n";
  } catch (const dc::DistributedComputingError& error) {
    return std::cerr << "hello: " << error.what() << "\n", 1;
  }
}
