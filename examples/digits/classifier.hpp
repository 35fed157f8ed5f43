// A small neural network for 8x8 digits: 64 inputs, one hidden layer of rectified units, softmax over 10 classes.
// Plain example code, about as fast as one core allows; the point is that it costs time per parameter set.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <span>
#include <vector>

namespace digits {

inline constexpr std::size_t pixels = 64;
inline constexpr std::size_t classes = 10;

/// Rows of 64 pixel values 0..16 and one label 0..9 each.
struct Data {
  std::vector<std::uint8_t> images;
  std::vector<std::uint8_t> labels;
  [[nodiscard]] std::size_t size() const { return labels.size(); }
};

struct Settings {
  double learning_rate = 0.1;
  int width = 32;
  double weight_decay = 0.0;
  int epochs = 20;
};

class Network {
 public:
  Network(int width, std::mt19937& random) : width_(static_cast<std::size_t>(width)) {
    hidden_.resize(width_ * pixels);
    hidden_bias_.resize(width_);
    output_.resize(classes * width_);
    output_bias_.resize(classes);
    std::normal_distribution<float> normal;
    for (float& w : hidden_) w = normal(random) * std::sqrt(2.0F / pixels);
    for (float& w : output_) w = normal(random) * std::sqrt(2.0F / static_cast<float>(width_));
  }

  /// One pass of stochastic gradient descent over the rows in `order`.
  void train_epoch(const Data& data, std::span<const std::size_t> order, float rate, float decay) {
    for (const std::size_t row : order) train_row(&data.images[row * pixels], data.labels[row], rate, decay);
  }

  /// Share of the rows first..last-1 that are classified right, between 0 and 1.
  [[nodiscard]] double accuracy(const Data& data, std::size_t first, std::size_t last) {
    std::size_t right = 0;
    for (std::size_t row = first; row < last; ++row) {
      forward(&data.images[row * pixels]);
      const auto best = std::max_element(scores_.begin(), scores_.end()) - scores_.begin();
      right += static_cast<std::size_t>(best) == data.labels[row];
    }
    return static_cast<double>(right) / static_cast<double>(last - first);
  }

 private:
  void forward(const std::uint8_t* image) {
    input_.resize(pixels);
    for (std::size_t i = 0; i < pixels; ++i) input_[i] = static_cast<float>(image[i]) / 16.0F;
    active_.assign(hidden_bias_.begin(), hidden_bias_.end());
    for (std::size_t h = 0; h < width_; ++h) {
      const float* weights = &hidden_[h * pixels];
      active_[h] = std::max(0.0F, std::inner_product(input_.begin(), input_.end(), weights, active_[h]));
    }
    scores_.assign(output_bias_.begin(), output_bias_.end());
    for (std::size_t c = 0; c < classes; ++c) {
      scores_[c] = std::inner_product(active_.begin(), active_.end(), &output_[c * width_], scores_[c]);
    }
  }

  void train_row(const std::uint8_t* image, std::uint8_t label, float rate, float decay) {
    forward(image);
    const float largest = *std::max_element(scores_.begin(), scores_.end());
    float total = 0;
    for (float& score : scores_) total += score = std::exp(score - largest);
    back_.assign(width_, 0.0F);
    for (std::size_t c = 0; c < classes; ++c) {
      const float gradient = scores_[c] / total - (c == label ? 1.0F : 0.0F);
      float* weights = &output_[c * width_];
      for (std::size_t h = 0; h < width_; ++h) {
        back_[h] += gradient * weights[h];
        weights[h] -= rate * (gradient * active_[h] + decay * weights[h]);
      }
      output_bias_[c] -= rate * gradient;
    }
    for (std::size_t h = 0; h < width_; ++h) {
      if (active_[h] <= 0) continue;
      float* weights = &hidden_[h * pixels];
      for (std::size_t i = 0; i < pixels; ++i) weights[i] -= rate * (back_[h] * input_[i] + decay * weights[i]);
      hidden_bias_[h] -= rate * back_[h];
    }
  }

  std::size_t width_;
  std::vector<float> hidden_, hidden_bias_, output_, output_bias_;
  std::vector<float> input_, active_, scores_, back_;
};

/// Trains on the first `train` rows with a fixed seed, so that the same settings always give the same network.
inline Network trained(const Data& data, std::size_t train, const Settings& settings) {
  std::mt19937 random(1797);
  Network network(settings.width, random);
  std::vector<std::size_t> order(train);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    std::shuffle(order.begin(), order.end(), random);
    network.train_epoch(data, order, static_cast<float>(settings.learning_rate),
                        static_cast<float>(settings.weight_decay));
  }
  return network;
}

}  // namespace digits
