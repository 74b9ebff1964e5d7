#include "phonaut/training/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iomanip>
#include <ostream>
#include <sstream>

namespace phonaut {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// The first `columns` characters of UTF-8 text, counting code points (wide characters are rare in status lines).
std::string_view shortened(std::string_view text, int columns) {
  int seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80 && seen++ == columns) return text.substr(0, i);
  return text;
}

}  // namespace

Terminal Terminal::of(int descriptor) {
  Terminal t;
  const std::string term = environment("TERM");
  t.present = ::isatty(descriptor) == 1 && !term.empty() && term != "dumb";
  t.colour = t.present && environment("NO_COLOR").empty();
  winsize size{};
  if (t.present && ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) t.columns = size.ws_col;
  return t;
}

std::string clock_text(double seconds) {
  const long whole = seconds > 0 ? std::lround(std::min(seconds, 1e9)) : 0;
  std::ostringstream out;
  out << std::setfill('0');
  if (whole >= 3600) out << whole / 3600 << ':' << std::setw(2);
  out << whole / 60 % 60 << ':' << std::setw(2) << whole % 60;
  return std::move(out).str();
}

Progress::Progress(std::ostream& out, Terminal terminal, Config config)
    : out_(out), terminal_(terminal), config_(std::move(config)) {}

Progress::~Progress() {
  try {
    finish();
  } catch (...) {  // a stream that was told to throw; a destructor may not
  }
}

void Progress::update(long done, std::string_view status) {
  const auto now = Clock::now();
  if (!started_) {
    started_ = true;
    start_ = now;
    first_ = done;
  }
  done_ = done;
  if (!terminal_.present || finished_) return;
  status_ = status;
  if (shown_ && done < config_.total && std::chrono::duration<double>(now - drawn_).count() < config_.redraw_seconds)
    return;
  drawn_ = now;
  draw();
}

void Progress::draw() {
  const double passed = std::chrono::duration<double>(drawn_ - start_).count();
  const double speed = passed > 0 ? static_cast<double>(done_ - first_) / passed : 0;
  std::ostringstream line;
  line << config_.label << (config_.label.empty() ? "" : " ");
  constexpr long width = 20;
  long filled = 0;
  if (config_.total > 0) {
    const double share = std::clamp(static_cast<double>(done_) / static_cast<double>(config_.total), 0.0, 1.0);
    filled = static_cast<long>(share * width);
    line << '[' << std::string(static_cast<std::size_t>(filled), '#')
         << std::string(static_cast<std::size_t>(width - filled), '.') << "] " << std::setw(3)
         << static_cast<int>(100 * share) << " %  " << done_ << '/' << config_.total;
  } else {
    line << done_;
  }
  if (speed > 0) {
    line << "  " << std::setprecision(3) << speed << "/s";
    if (config_.total > done_)
      line << "  " << clock_text(static_cast<double>(config_.total - done_) / speed) << " left";
  }
  if (!status_.empty()) line << "  " << status_;
  std::string text(shortened(line.str(), terminal_.columns - 1));  // the last column would make some terminals wrap
  if (terminal_.colour && filled > 0) {
    const std::size_t begin = config_.label.size() + (config_.label.empty() ? 0 : 1) + 1;
    const std::size_t end = begin + static_cast<std::size_t>(filled);
    if (end <= text.size())
      text = text.substr(0, begin) + "\x1b[32m" + text.substr(begin, end - begin) + "\x1b[0m" + text.substr(end);
  }
  out_ << '\r' << text << "\x1b[K" << std::flush;
  shown_ = true;
}

void Progress::note(std::string_view line) {
  if (shown_ && !finished_) out_ << "\r\x1b[K";
  out_ << line << '\n' << std::flush;
  if (shown_ && !finished_) draw();
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  if (!shown_) return;
  drawn_ = Clock::now();
  draw();
  out_ << '\n' << std::flush;
}

}  // namespace phonaut
