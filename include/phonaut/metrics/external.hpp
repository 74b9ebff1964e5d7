#pragma once
// Metrics that another program computes: PESQ, whose licence lets nobody ship it, ViSQOL, or one of your own.
#include <span>
#include <string>
#include <vector>

#include "phonaut/core/error.hpp"
#include "phonaut/io/audio.hpp"

namespace phonaut {

/// A program that cannot be started, fails, takes too long or does not say a number.
struct CommandError : Error {
  using Error::Error;
};

/// How to ask a program for a number about two sound files.
struct ExternalMetric {
  /// The program (a path, or a name to be looked for in PATH) and its arguments, as they are: no shell reads them.
  /// `{reference}` and `{degraded}` stand for the files, anywhere in an argument.
  std::vector<std::string> command = {};
  std::string behind = {};     ///< the number is looked for behind the last place where this is said; empty: in all
  long which = 0;              ///< 0: the first number there, 1: the second, …; -1: the last
  double seconds = 60;         ///< then the program and what it has started are stopped
  long most_output = 1 << 20;  ///< bytes

  /// ITU-T P.862's program (P.862.2 with `wide_band`) for files of 8000 or 16000 Hz: MOS-LQO.
  static ExternalMetric pesq(const std::string& program, int rate, bool wide_band);
  /// Google's ViSQOL in speech mode: MOS-LQO.
  static ExternalMetric visqol(const std::string& program);
};

/// Runs the program on two files and returns the number that it says on its standard output or error. The program gets
/// no input, and this process's environment. Throws ConfigError if the command is empty or does not name both files,
/// FileError if one of them cannot be read, CommandError, with what the program said last, if it cannot be started,
/// ends with another status than 0, takes too long, says too much or no finite number.
double external_score(const std::string& reference, const std::string& degraded, const ExternalMetric& metric);

namespace detail {

/// A folder of its own under the system's temporary one; removed with what is in it. Throws FileError.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace detail

/// The same of samples, which are written to 16-bit WAV files in a temporary folder first. Throws as that, and as
/// `write_audio`.
inline double external_score(std::span<const float> reference, std::span<const float> degraded, int rate,
                             const ExternalMetric& metric) {
  const detail::ScratchFolder folder;
  const std::string first = folder.file("reference.wav"), second = folder.file("degraded.wav");
  write_audio(first, reference, rate);
  write_audio(second, degraded, rate);
  return external_score(first, second, metric);
}

}  // namespace phonaut
