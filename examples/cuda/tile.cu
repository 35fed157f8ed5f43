// The GPU's part. Knows nothing of pools: what a worker needs of CUDA stands behind tile.hpp.
#include <cuda_runtime.h>

#include <cstdio>
#include <stdexcept>

#include "tile.hpp"

namespace {

constexpr unsigned block = 16;  ///< threads in each direction

void check(cudaError_t result, const char* what) {
  if (result != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(result));
}

__global__ void fill(Tile tile, std::uint32_t* pixels) {
  const std::uint32_t column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
  if (column < tile.side && row < tile.side) pixels[row * tile.side + column] = tile.iterations(column, row);
}

std::string text_of(const cudaUUID_t& uuid) {
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {
    char digits[4];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    text += digits;
    if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
  }
  return text;
}

}  // namespace

Gpu::Gpu(std::uint32_t pixels_max) : pixels_max_(pixels_max) {
  int devices = 0;
  check(cudaGetDeviceCount(&devices), "cannot count the GPUs");
  if (devices != 1)
    throw std::runtime_error("this worker sees " + std::to_string(devices) + " GPUs, not its own alone");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "cannot ask what GPU this is");
  name_ = properties.name;
  uuid_ = text_of(properties.uuid);
  check(cudaMalloc(&pixels_, std::size_t{pixels_max} * sizeof(std::uint32_t)), "no memory on the GPU");
}

Gpu::~Gpu() { cudaFree(pixels_); }

std::vector<std::uint32_t> Gpu::compute(const Tile& tile) {
  const std::size_t pixels = std::size_t{tile.side} * tile.side;
  if (pixels > pixels_max_) throw std::runtime_error("the tile is larger than the memory that was taken for it");
  const unsigned blocks = (tile.side + block - 1) / block;
  fill<<<dim3(blocks, blocks), dim3(block, block)>>>(tile, pixels_);
  check(cudaGetLastError(), "the kernel does not start");
  std::vector<std::uint32_t> result(pixels);
  check(cudaMemcpy(result.data(), pixels_, pixels * sizeof(std::uint32_t), cudaMemcpyDeviceToHost),
        "the kernel failed");
  return result;
}
