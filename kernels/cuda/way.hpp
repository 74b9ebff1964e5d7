#pragma once
// Where more than one way leads to a result, the sizes say which is taken. Tests and benchmarks hold one against the
// other.

namespace phonaut::cuda {

/// The way that the calling thread's kernels take from now on; Way is an enum whose first value leaves it to the sizes.
template <class Way>
Way& way() {
  thread_local Way chosen{};
  return chosen;
}

/// Another way while it lives.
template <class Way>
class Using {
 public:
  explicit Using(Way other) : before_(way<Way>()) { way<Way>() = other; }
  Using(const Using&) = delete;
  Using& operator=(const Using&) = delete;
  ~Using() { way<Way>() = before_; }

 private:
  Way before_;
};

}  // namespace phonaut::cuda
