#include "common/figures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace figures {

namespace {

constexpr double kLeft = 62, kRight = 14, kTop = 34, kBottom = 44;  // around the axes

/// Looks of a picture that is a file of its own: a card, light or dark as the reader's screen. Without variables, which
/// many a converter does not know.
constexpr const char* kStyle = R"(svg{font-family:system-ui,sans-serif}.card{fill:#fff}
.title{font-size:14px;font-weight:600;fill:#1c2026}.tick{font-size:10.5px;fill:#667}.label{font-size:11.5px;fill:#667}
.grid{stroke:#d7dbe0;stroke-width:.7}.whisker{stroke:#1c2026;stroke-width:1.6}.wave{fill:none;stroke:#1c2026;stroke-width:.8}
@media(prefers-color-scheme:dark){.card{fill:#1c2026}.title{fill:#e7e9ec}.tick,.label{fill:#9aa3ad}.grid{stroke:#39404a}
.whisker,.wave{stroke:#e7e9ec}})";

/// Round numbers that span [low, high].
std::vector<double> ticks(double low, double high, int about = 5) {
  if (!(high > low)) return {low};
  const double raw = (high - low) / about, power = std::pow(10, std::floor(std::log10(raw)));
  double step = power;
  for (double factor : {1.0, 2.0, 2.5, 5.0, 10.0}) {
    step = factor * power;
    if (step >= raw) break;
  }
  std::vector<double> values;
  const double first = std::ceil(low / step);
  for (int i = 0; i <= about && (first + i) * step <= high + 1e-9 * step; ++i) values.push_back((first + i) * step);
  return values;
}

/// Where a logarithmic axis from 10^low to 10^high is marked: most of the digits if there is about a decade, 1, 2 and 5
/// of two, or decades alone if there are more.
std::vector<double> log_ticks(double low, double high) {
  std::vector<double> values;
  const double first = std::floor(low);
  for (int decade = 0; first + decade <= high; ++decade)
    for (double digit : {1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0}) {
      const double v = first + decade + std::log10(digit);
      const double widest = digit == 1.0 ? INFINITY : digit == 2.0 || digit == 5.0 ? 2.5 : 1.2;
      if (v >= low && v <= high && high - low < widest) values.push_back(v);
    }
  return values.empty() ? ticks(low, high) : values;
}

std::string number(double v) {
  const double a = std::fabs(v);
  if (v == 0) return "0";
  if (a >= 1e5 || a < 1e-3) return fmt::format("{:.0e}", v);
  return fmt::format("{:.3g}", v);
}

struct Range {
  double low = INFINITY, high = -INFINITY;
  void take(double v) {
    if (!std::isfinite(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  void settle() {
    if (!(high >= low)) low = 0, high = 1;
    if (high == low) low -= 0.5, high += 0.5;
  }
};

std::uint32_t crc32(const std::string& bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (unsigned char byte : bytes) {
    crc ^= byte;
    for (int k = 0; k < 8; ++k) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}
std::string big_endian(std::uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8), static_cast<char>(v)};
}
std::string chunk(const std::string& type, const std::string& data) {
  return big_endian(static_cast<std::uint32_t>(data.size())) + type + data + big_endian(crc32(type + data));
}
/// zlib without compression: pictures of a few kilobytes need no more.
std::string stored(const std::string& data) {
  std::string out = "\x78\x01";
  for (size_t at = 0; at < data.size() || at == 0; at += 65535) {
    const auto n = static_cast<std::uint16_t>(std::min<size_t>(65535, data.size() - at));
    out += at + n >= data.size() ? '\1' : '\0';
    for (std::uint16_t v : {n, static_cast<std::uint16_t>(~n)}) {
      out += static_cast<char>(v & 0xff);
      out += static_cast<char>(v >> 8);
    }
    out.append(data, at, n);
  }
  std::uint32_t a = 1, b = 0;
  for (unsigned char byte : data) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return out + big_endian(b << 16 | a);
}

/// Dark blue through red to light yellow, after the "magma" map of matplotlib (CC0): seven anchors, linear between.
std::array<unsigned char, 3> magma(double t) {
  static constexpr double anchors[7][3] = {{0, 0, 4},     {40, 17, 89},    {115, 31, 129}, {183, 55, 121},
                                           {242, 97, 93}, {254, 170, 110}, {252, 253, 191}};
  t = std::clamp(std::isfinite(t) ? t : 0.0, 0.0, 1.0) * 6;
  const int i = std::min(5, static_cast<int>(t));
  std::array<unsigned char, 3> rgb{};
  for (size_t c = 0; c < 3; ++c)
    rgb[c] = static_cast<unsigned char>(anchors[i][c] + (t - i) * (anchors[i + 1][c] - anchors[i][c]));
  return rgb;
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  return out;
}

std::string base64(const std::string& bytes) {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k)
      word = word << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) out += i + k <= bytes.size() ? digits[word >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string element(const Chart& chart) {
  return fmt::format("<svg viewBox='0 0 {} {}' role='img' aria-label='{}'>{}</svg>", chart.width, chart.height,
                     escaped(chart.title), chart.body);
}

std::string file(const std::vector<std::vector<Chart>>& rows) {
  constexpr double gap = 12;
  double width = 0, y = gap;
  std::string body;
  for (const auto& row : rows) {
    double x = gap, height = 0;
    for (const Chart& chart : row) {
      body += fmt::format("<g transform='translate({:.0f},{:.0f})'>{}</g>\n", x, y, chart.body);
      x += chart.width + gap;
      height = std::max(height, chart.height);
    }
    width = std::max(width, x);
    y += height + gap;
  }
  return fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {0:.0f} {1:.0f}' width='{0:.0f}' "
      "height='{1:.0f}'><style>{2}</style>\n<rect class='card' width='{0:.0f}' height='{1:.0f}' rx='8'/>\n{3}</svg>\n",
      width, y, kStyle, body);
}

Chart line_chart(const Axes& axes, const std::vector<Line>& lines) {
  const auto along = [](bool log, double v) { return log ? std::log10(std::max(v, 1e-12)) : v; };
  const auto drawn = [&](double x, double y) {
    return std::isfinite(x) && std::isfinite(y) && (!axes.log_x || x > 0) && (!axes.log_y || y > 0);
  };
  Range xs, ys;
  for (const Line& line : lines)
    for (size_t i = 0; i < line.x.size() && i < line.y.size(); ++i) {
      if (!axes.log_x || line.x[i] > 0) xs.take(along(axes.log_x, line.x[i]));
      if (!axes.log_y || line.y[i] > 0) ys.take(along(axes.log_y, line.y[i]));
    }
  if (axes.zero_y && !axes.log_y && ys.low > 0) ys.low = 0;
  xs.settle();
  ys.settle();
  const double right = axes.width - kRight, bottom = axes.height - kBottom;
  const auto px = [&](double x) { return kLeft + (x - xs.low) / (xs.high - xs.low) * (right - kLeft); };
  const auto py = [&](double y) { return bottom - (y - ys.low) / (ys.high - ys.low) * (bottom - kTop); };
  const auto marked = [](bool log, const Range& r, double length) {
    return log ? log_ticks(r.low, r.high) : ticks(r.low, r.high, std::max(5, static_cast<int>(length / 55)));
  };

  std::string svg = fmt::format("<text class='title' x='{}' y='18'>{}</text>", kLeft, escaped(axes.title));
  for (double x : marked(axes.log_x, xs, right - kLeft)) {
    svg += fmt::format("<line class='grid' x1='{0:.1f}' x2='{0:.1f}' y1='{1}' y2='{2}'/>", px(x), kTop, bottom);
    svg += fmt::format("<text class='tick' x='{:.1f}' y='{}' text-anchor='middle'>{}</text>", px(x), bottom + 15,
                       number(axes.log_x ? std::pow(10, x) : x));
  }
  for (double y : marked(axes.log_y, ys, bottom - kTop)) {
    svg += fmt::format("<line class='grid' x1='{0}' x2='{1}' y1='{2:.1f}' y2='{2:.1f}'/>", kLeft, right, py(y));
    svg += fmt::format("<text class='tick' x='{}' y='{:.1f}' text-anchor='end'>{}</text>", kLeft - 6, py(y) + 4,
                       number(axes.log_y ? std::pow(10, y) : y));
  }
  svg += fmt::format("<text class='label' x='{:.1f}' y='{}' text-anchor='middle'>{}</text>", (kLeft + right) / 2,
                     axes.height - 8, escaped(axes.x_label));
  svg += fmt::format("<text class='label' transform='translate(13,{:.1f}) rotate(-90)' text-anchor='middle'>{}</text>",
                     (kTop + bottom) / 2, escaped(axes.y_label));
  // About 5.4 for a letter: there is nothing here that could measure text.
  size_t letters = 0, named = 0;
  for (const Line& line : lines) letters = std::max(letters, line.name.size()), named += !line.name.empty();
  const double legend_x = axes.legend == Axes::Legend::top_left
                              ? kLeft + 8
                              : right - std::max(112.0, 26 + 5.4 * static_cast<double>(letters));
  double legend = axes.legend == Axes::Legend::bottom_right ? bottom - 15 * static_cast<double>(named) + 8 : kTop + 12;
  for (const Line& line : lines) {
    std::string points, marks;
    long count = 0;
    for (size_t i = 0; i < line.x.size() && i < line.y.size(); ++i) {
      if (!drawn(line.x[i], line.y[i])) continue;
      const double x = px(along(axes.log_x, line.x[i])), y = py(along(axes.log_y, line.y[i]));
      points += fmt::format("{:.1f},{:.1f} ", x, y);
      if (line.marks) marks += fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='3.2' fill='{}'/>", x, y, line.colour);
      ++count;
    }
    if (count > 1)
      svg += fmt::format("<polyline fill='none' stroke='{}' stroke-width='1.6'{} points='{}'/>", line.colour,
                         line.dashed ? " stroke-dasharray='5 4'" : "", points);
    svg += marks;
    if (line.name.empty()) continue;  // further seeds of a line that is named already
    svg += fmt::format("<line x1='{0}' x2='{1}' y1='{2}' y2='{2}' stroke='{3}' stroke-width='2.5'{4}/>", legend_x,
                       legend_x + 18, legend - 4, line.colour, line.dashed ? " stroke-dasharray='5 4'" : "");
    svg += fmt::format("<text class='tick' x='{}' y='{}'>{}</text>", legend_x + 22, legend, escaped(line.name));
    legend += 15;
  }
  return {svg, axes.title, axes.width, axes.height};
}

Chart bar_chart(const BarAxes& axes, const std::vector<Bar>& bars) {
  const double width = 460, row = axes.row, names = axes.names;
  const double height = kTop + row * static_cast<double>(bars.size()) + 12;
  const auto along = [&](double v) { return axes.log ? std::log10(std::max(v, 1e-12)) : v; };
  Range range;
  if (!axes.log) range.take(0);
  for (const Bar& bar : bars)
    for (const double v : {bar.mean, bar.low, bar.high}) range.take(along(v));
  if (axes.log) range.low = std::floor(range.low);
  range.settle();
  const double begin = axes.log ? range.low : 0;
  const auto px = [&](double at) { return names + (at - range.low) / (range.high - range.low) * (width - names - 70); };
  std::string svg = fmt::format("<text class='title' x='8' y='18'>{}</text>", escaped(axes.title));
  double y = kTop;
  for (const Bar& bar : bars) {
    const double x0 = px(std::min(begin, along(bar.mean))), x1 = px(std::max(begin, along(bar.mean)));
    const double middle = y + row / 2 - 2;
    svg += fmt::format("<text class='label' x='{}' y='{:.1f}' text-anchor='end'>{}</text>", names - 8, middle + 4,
                       escaped(bar.name));
    svg += fmt::format("<rect x='{:.1f}' y='{:.1f}' width='{:.1f}' height='{}' fill='{}' rx='2'/>", x0, y + 2,
                       std::max(0.5, x1 - x0), std::max(4.0, row - 8), bar.colour);
    if (bar.high > bar.low)
      svg += fmt::format("<line class='whisker' x1='{:.1f}' x2='{:.1f}' y1='{:.1f}' y2='{:.1f}'/>", px(along(bar.low)),
                         px(along(bar.high)), middle, middle);
    svg += fmt::format("<text class='tick' x='{:.1f}' y='{:.1f}'>{}</text>", std::max(x1, px(along(bar.high))) + 6,
                       middle + 4, number(bar.mean));
    y += row;
  }
  return {svg, axes.title, width, height};
}

std::string heat_map(const std::vector<float>& values, int columns, int rows, double low, double high) {
  std::string pixels;
  pixels.reserve(static_cast<size_t>(rows) * (3 * static_cast<size_t>(columns) + 1));
  for (int r = rows; r-- > 0;) {
    pixels += '\0';  // PNG filter type: none
    for (int c = 0; c < columns; ++c)
      for (unsigned char channel :
           magma((values[static_cast<size_t>(c) * static_cast<size_t>(rows) + static_cast<size_t>(r)] - low) /
                 (high - low)))
        pixels += static_cast<char>(channel);
  }
  const std::string header = big_endian(static_cast<std::uint32_t>(columns)) +
                             big_endian(static_cast<std::uint32_t>(rows)) +
                             std::string("\x08\x02\x00\x00\x00", 5);  // 8 bits, RGB
  const std::string png =
      std::string("\x89PNG\r\n\x1a\n", 8) + chunk("IHDR", header) + chunk("IDAT", stored(pixels)) + chunk("IEND", "");
  return "data:image/png;base64," + base64(png);
}

}  // namespace figures
