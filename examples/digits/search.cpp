// Hyper-parameter search over handwritten digits in C++.
//
//   digits_search FILE.csv PASSWORD [ADDRESS [PORT]]
//
// Every finished score is sent to all workers as an update; a worker that is asked for settings whose score is
// already known answers from its cache instead of training again.
#include <distributed_computing/distributed_computing.hpp>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "classifier.hpp"

namespace {

/// A point of the search grid: exponents, so that equal points compare equal.
struct Point {
  int rate_step{};   ///< learning rate = 0.4 / 2^step
  int width_step{};  ///< hidden units = 8 * 2^step
  int decay_step{};  ///< weight decay = 0 for 0, else 1e-6 * 4^step
  auto operator<=>(const Point&) const = default;
  MSGPACK_DEFINE(rate_step, width_step, decay_step)

  [[nodiscard]] digits::Settings settings() const {
    return {.learning_rate = 0.4 / (1 << rate_step),
            .width = 8 << width_step,
            .weight_decay = decay_step == 0 ? 0.0 : 1e-6 * static_cast<double>(1 << (2 * decay_step)),
            .epochs = 80};
  }
};

struct Score {
  Point point;
  double accuracy{};   ///< on the validation rows
  bool known = false;  ///< the worker had it from an update
  MSGPACK_DEFINE(point, accuracy, known)
};

struct Images {
  std::vector<std::uint8_t> images, labels;
  MSGPACK_DEFINE(images, labels)
};

constexpr std::size_t train_rows = 1000;
constexpr std::size_t validation_rows = 1400;  // rows 1000..1399 choose, rows 1400.. are held out

}  // namespace

/// Built once per slot: holds the data set and the scores that other workers have found.
class Trainer : public dc::WorkerInterface {
 public:
  explicit Trainer(Images images) : data_{std::move(images.images), std::move(images.labels)} {}

  Score run(Point point) {
    if (const auto found = scores_.find(point); found != scores_.end()) return {point, found->second, true};
    auto network = digits::trained(data_, train_rows, point.settings());
    return {point, network.accuracy(data_, train_rows, validation_rows), false};
  }

  void handle_update(Score score) { scores_[score.point] = score.accuracy; }

 private:
  digits::Data data_;
  std::map<Point, double> scores_;
};
DISTRIBUTED_COMPUTING_WORKER(Trainer);

namespace {

Images read_csv(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path + ": run examples/digits/export.py to make it");
  Images images;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string field;
    for (std::size_t i = 0; std::getline(fields, field, ','); ++i) {
      (i < digits::pixels ? images.images : images.labels).push_back(static_cast<std::uint8_t>(std::stoi(field)));
    }
  }
  return images;
}

/// Runs the points, tells every worker each new score, draws a progress bar.
void evaluate(dc::Pool<Trainer>& pool, const std::vector<Point>& points, const char* title,
              std::map<Point, double>& scores) {
  std::size_t done = 0;
  std::size_t known = 0;
  for (const Score& score : pool.imap_unordered(points)) {
    known += score.known;
    if (scores.emplace(score.point, score.accuracy).second) pool.update_workers(score);
    const auto width = static_cast<int>(++done * 40 / points.size());
    std::fprintf(stderr, "\r%s |%.*s%*s| %zu/%zu", title, width, "########################################", 40 - width,
                 "", done, points.size());
  }
  std::fprintf(stderr, "  (%zu known already)\n", known);
}

std::vector<Point> coarse_grid() {
  std::vector<Point> points;
  for (int rate = 0; rate < 8; rate += 1)
    for (int width = 0; width < 4; ++width)
      for (int decay = 0; decay < 6; decay += 2) points.push_back({rate, width, decay});
  return points;
}

/// All neighbours of the best points; many of them have been tried before.
std::vector<Point> neighbours(const std::map<Point, double>& scores, std::size_t best) {
  std::vector<std::pair<double, Point>> order;
  for (const auto& [point, accuracy] : scores) order.emplace_back(-accuracy, point);
  std::sort(order.begin(), order.end());
  std::vector<Point> points;
  for (std::size_t i = 0; i < std::min(best, order.size()); ++i) {
    const Point& p = order[i].second;
    for (int r : {-1, 0, 1})
      for (int d : {-1, 0, 1})
        if (p.rate_step + r >= 0 && p.decay_step + d >= 0)
          points.push_back({p.rate_step + r, p.width_step, p.decay_step + d});
  }
  return points;
}

int search(const Images& images, const dc::PoolSettings& options) {
  std::map<Point, double> scores;
  {
    dc::Pool<Trainer> pool(options, images);
    evaluate(pool, coarse_grid(), "coarse grid", scores);
    evaluate(pool, neighbours(scores, 6), "refinement ", scores);
  }
  const auto best =
      std::max_element(scores.begin(), scores.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const digits::Settings settings = best->first.settings();
  const digits::Data data{images.images, images.labels};
  auto network = digits::trained(data, validation_rows, settings);
  std::printf("tried %zu settings; best: learning_rate=%g width=%d weight_decay=%g (validation accuracy %.4f)\n",
              scores.size(), settings.learning_rate, settings.width, settings.weight_decay, best->second);
  std::printf("held-out accuracy: %.4f on %zu images\n", network.accuracy(data, validation_rows, data.size()),
              data.size() - validation_rows);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  dc::initialize(argc, argv);  // never returns in a worker process
  if (argc < 3) {
    std::cerr << "usage: digits_search FILE.csv PASSWORD [ADDRESS [PORT]]\n";
    return 2;
  }
  try {
    dc::PoolSettings options;
    options.password = argv[2];
    if (argc > 3) options.address = argv[3];
    if (argc > 4) options.port = static_cast<std::uint16_t>(std::stoi(argv[4]));
    return search(read_csv(argv[1]), options);
  } catch (const std::exception& error) {
    std::cerr << "digits_search: " << error.what() << "\n";
    return 1;
  }
}
