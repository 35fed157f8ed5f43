// The Mandelbrot set on all GPUs of a cluster: each job is a tile, each worker has a GPU of its own, and every tile is
// compared with the same one from the CPU.
//
//   start_node --head --password=123456        (in another terminal)
//   mandelbrot 123456 [ADDRESS [PORT]]
//
// Exit status: 0 all tiles are right, 1 something failed, 2 wrong usage. The password may also stand in
// DISTRIBUTED_COMPUTING_PASSWORD, with "-" in its place.
#include <distributed_computing/distributed_computing.hpp>

#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tile.hpp"

namespace {

constexpr std::uint32_t tile_side = 256;
constexpr std::uint32_t tiles_across = 8;
constexpr std::uint32_t iterations_max = 1000;
constexpr double plane_left = -2.25, plane_top = 1.5, plane_side = 3;

/// What a job gives: the pixels, and who computed them.
struct Computed {
  std::uint32_t column{}, row{};  ///< of the tile
  std::vector<std::uint32_t> iterations;
  std::string gpu, name;  ///< UUID and name
  MSGPACK_DEFINE(column, row, iterations, gpu, name)
};

Tile tile_at(std::uint32_t column, std::uint32_t row) {
  const double side = plane_side / tiles_across;
  return {plane_left + column * side, plane_top - row * side, side / tile_side, tile_side, iterations_max};
}

}  // namespace

/// Has one GPU, with memory for a tile on it.
class Painter : public dc::WorkerInterface {
 public:
  Computed run(std::uint32_t column, std::uint32_t row) {
    return {column, row, gpu_.compute(tile_at(column, row)), gpu_.uuid(), gpu_.name()};
  }

 private:
  Gpu gpu_{tile_side * tile_side};
};
DISTRIBUTED_COMPUTING_WORKER(Painter);

namespace {

/// Pixels that the CPU computes otherwise.
std::size_t differences(const Computed& tile) {
  const Tile on_cpu = tile_at(tile.column, tile.row);
  std::size_t count = 0;
  for (std::uint32_t row = 0; row < on_cpu.side; ++row) {
    for (std::uint32_t column = 0; column < on_cpu.side; ++column)
      count += tile.iterations.at(row * on_cpu.side + column) != on_cpu.iterations(column, row);
  }
  return count;
}

int paint(const dc::PoolSettings& settings) {
  std::vector<std::tuple<std::uint32_t, std::uint32_t>> tiles;
  for (std::uint32_t row = 0; row < tiles_across; ++row)
    for (std::uint32_t column = 0; column < tiles_across; ++column) tiles.emplace_back(column, row);
  dc::Pool<Painter> pool(settings);
  std::map<std::string, std::size_t> tiles_of;
  std::size_t wrong = 0, inside = 0;
  for (const Computed& tile : pool.imap_unordered(tiles)) {
    ++tiles_of[tile.gpu + " (" + tile.name + ")"];
    wrong += differences(tile);
    for (const std::uint32_t count : tile.iterations) inside += count == iterations_max;
  }
  for (const auto& [gpu, count] : tiles_of) std::cout << count << " tiles by " << gpu << "\n";
  const double pixel = plane_side / tiles_across / tile_side;
  std::cout << "area of the set: about " << static_cast<double>(inside) * pixel * pixel << " (known: 1.5066)\n"
            << wrong << " pixels differ from the CPU's\n";
  return wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  dc::initialize(argc, argv);  // never returns in a worker process
  if (argc < 2) return std::cerr << "usage: mandelbrot PASSWORD [ADDRESS [PORT]]\n", 2;
  try {
    dc::PoolSettings settings{.password = argv[1], .min_gpu_memory_required = "256MB", .device = dc::Device::gpu};
    const char* password = std::getenv("DISTRIBUTED_COMPUTING_PASSWORD");
    if (settings.password == "-" && password) settings.password = password;
    if (argc > 2) settings.address = argv[2];
    if (argc > 3) settings.port = static_cast<std::uint16_t>(std::stoi(argv[3]));
    return paint(settings);
  } catch (const std::exception& error) {
    return std::cerr << "mandelbrot: " << error.what() << "\n", 1;
  }
}
