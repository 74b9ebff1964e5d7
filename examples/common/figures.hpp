#pragma once
// Small pictures without a plotting library: line and bar charts as SVG, spectrograms as PNG. They stand inside of an
// HTML page, or in SVG files of their own.
#include <string>
#include <vector>

namespace figures {

/// A drawing and its size, in the units of its coordinates.
struct Chart {
  std::string body;  ///< SVG elements, without the <svg> around them
  std::string title;
  double width = 0, height = 0;
};
/// The chart as an <svg> element of an HTML page, whose style sheet gives the classes title, tick, label, grid and
/// whisker their looks.
std::string element(const Chart& chart);
/// Rows of charts, as an SVG file with a style sheet of its own.
std::string file(const std::vector<std::vector<Chart>>& rows);

struct Line {
  std::string name;  ///< in the legend; empty: not there
  std::vector<double> x, y;
  std::string colour;
  bool dashed = false;
  bool marks = false;  ///< a dot at every point
};

struct Axes {
  std::string title, x_label, y_label;
  bool log_y = false, log_x = false;
  bool zero_y = false;  ///< the axis starts at 0, if nothing is below
  enum class Legend { top_right, top_left, bottom_right } legend = Legend::top_right;
  double width = 460, height = 280;
};

/// Lines with a legend, axes and ticks.
Chart line_chart(const Axes& axes, const std::vector<Line>& lines);

struct Bar {
  std::string name;
  double mean, low, high;  ///< the whisker goes from low to high; none where they are equal
  std::string colour;
};
struct BarAxes {
  std::string title;
  double names = 86;  ///< width of the column of names
  double row = 26;    ///< height of a bar with its gap
  bool log = false;   ///< bars begin at the power of ten below the least; all must be positive
};
/// Horizontal bars with whiskers.
Chart bar_chart(const BarAxes& axes, const std::vector<Bar>& bars);

/// A (columns × rows) picture of `values[column * rows + row]`, row 0 at the bottom, between `low` (dark) and `high`
/// (bright), as a data URI of a PNG.
std::string heat_map(const std::vector<float>& values, int columns, int rows, double low, double high);

/// Bytes as base64.
std::string base64(const std::string& bytes);
/// Text with the five characters that HTML reserves written as entities.
std::string escaped(const std::string& text);

}  // namespace figures
