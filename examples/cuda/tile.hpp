// A tile of the Mandelbrot set: what is computed, on the GPU (tile.cu) and on the CPU.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#ifdef __CUDACC__
#define TILE_BOTH __host__ __device__
#else
#define TILE_BOTH
#endif

/// A square of the complex plane, in pixels of an image.
struct Tile {
  double left{}, top{};   ///< of the plane
  double pixel{};         ///< width of a pixel in the plane
  std::uint32_t side{};   ///< in pixels
  std::uint32_t limit{};  ///< iterations until a point counts as inside

  /// How many iterations the point of this pixel takes to leave the circle of radius 2; `limit`: it does not.
  [[nodiscard]] TILE_BOTH std::uint32_t iterations(std::uint32_t column, std::uint32_t row) const {
    const double x = left + column * pixel, y = top - row * pixel;
    double real = 0, imaginary = 0;
    std::uint32_t count = 0;
    for (; count < limit && real * real + imaginary * imaginary <= 4; ++count) {
      const double next = real * real - imaginary * imaginary + x;
      imaginary = 2 * real * imaginary + y;
      real = next;
    }
    return count;
  }
};

/// The GPU that this process sees, with memory on it for the largest tile.
class Gpu {
 public:
  /// Throws std::runtime_error if the process does not see exactly one GPU, or `pixels_max` do not fit on it.
  explicit Gpu(std::uint32_t pixels_max);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  /// Iterations of each pixel, row by row.
  std::vector<std::uint32_t> compute(const Tile& tile);
  [[nodiscard]] const std::string& name() const { return name_; }
  /// "GPU-" and the number that NVML knows it by. An instance of a divided card (MIG) has its card's.
  [[nodiscard]] const std::string& uuid() const { return uuid_; }

 private:
  std::uint32_t pixels_max_;
  std::uint32_t* pixels_ = nullptr;  ///< on the GPU
  std::string name_, uuid_;
};
