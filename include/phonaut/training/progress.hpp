#pragma once
// A line that tells how far a program is.
#include <chrono>
#include <cstddef>
#include <iosfwd>
#include <string>
#include <string_view>

namespace phonaut {

/// What a program's output is shown on.
struct Terminal {
  bool present = false;  ///< a terminal that understands control sequences; false for files, pipes and TERM=dumb
  bool colour = false;   ///< and nobody objects to colour (NO_COLOR, https://no-color.org)
  int columns = 80;

  /// Looks at a file descriptor: 1 is standard output, 2 standard error.
  static Terminal of(int descriptor);
};

/// A progress bar on a terminal, redrawn in place:
///
///   train [########............]  41 %  1640/4000  12.3/s  3:12 left  loss 0.532
///
/// Where there is no terminal it writes only the lines given to `note`.
class Progress {
 public:
  struct Config {
    std::string label = {};
    long total = 0;               ///< steps; 0 if unknown
    double redraw_seconds = 0.1;  ///< at most one redraw in so many seconds
  };
  /// `out` must outlive this object, which is the only thing that writes to it while the bar is shown.
  Progress(std::ostream& out, Terminal terminal, Config config);
  /// Leaves the last line of the bar on the screen.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` steps are behind us; `status` is shown at the end of the line. Speed is that since the first call, so a
  /// resumed run begins with the step that it resumed from.
  void update(long done, std::string_view status = {});
  /// A line that stays, above the bar.
  void note(std::string_view line);
  /// Ends the line of the bar; nothing more is drawn.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  void draw();

  std::ostream& out_;
  Terminal terminal_;
  Config config_;
  Clock::time_point start_, drawn_;
  long first_ = 0, done_ = 0;
  bool started_ = false, shown_ = false, finished_ = false;
  std::string status_;
};

/// "3:07", "1:02:45"
std::string clock_text(double seconds);

}  // namespace phonaut
