#pragma once
// Computing without remembering, for a while.
#include "phonaut/core/context.hpp"

namespace phonaut {

/// Keeps a context from recording while it lives: inner searches want no gradients.
template <class B>
class Unrecorded {
 public:
  explicit Unrecorded(Context<B>& ctx) : ctx_(ctx), before_(ctx.recording()) { ctx.set_recording(false); }
  Unrecorded(const Unrecorded&) = delete;
  Unrecorded& operator=(const Unrecorded&) = delete;
  ~Unrecorded() { ctx_.set_recording(before_); }

 private:
  Context<B>& ctx_;
  bool before_;
};

}  // namespace phonaut
