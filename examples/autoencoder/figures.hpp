#pragma once
// Small pictures for the report: line charts as SVG, spectrograms as PNG, both as text that stands inside an HTML page.
#include <string>
#include <vector>

namespace figures {

struct Line {
  std::string name;
  std::vector<double> x, y;
  std::string colour;
  bool dashed = false;
};

struct Axes {
  std::string title, x_label, y_label;
  bool log_y = false;
};

/// Lines with a legend, axes and ticks, as an <svg> element.
std::string line_chart(const Axes& axes, const std::vector<Line>& lines);

struct Bar {
  std::string name;
  double mean, low, high;  ///< the whisker goes from low to high
  std::string colour;
};
/// Horizontal bars with whiskers, as an <svg> element.
std::string bar_chart(const std::string& title, const std::vector<Bar>& bars);

/// A (columns × rows) picture of `values[column * rows + row]`, row 0 at the bottom, between `low` (dark) and `high`
/// (bright), as a data URI of a PNG.
std::string heat_map(const std::vector<float>& values, int columns, int rows, double low, double high);

/// Bytes as base64.
std::string base64(const std::string& bytes);
/// Text with the five characters that HTML reserves written as entities.
std::string escaped(const std::string& text);

}  // namespace figures
