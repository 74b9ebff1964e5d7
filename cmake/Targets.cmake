# Flags that every target of ours shares. Consumers get none of them.
add_library(phonaut_flags INTERFACE)
target_compile_options(phonaut_flags INTERFACE -Wall -Wextra -Wshadow -Wno-unknown-pragmas -fno-math-errno)
if(PHONAUT_SANITIZE)
  # Undefined behaviour stops the program where UBSAN_OPTIONS says so, as the preset does; without, all of it is listed.
  target_compile_options(phonaut_flags INTERFACE -fsanitize=${PHONAUT_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(phonaut_flags INTERFACE -fsanitize=${PHONAUT_SANITIZE})
endif()
if(PHONAUT_FUZZ)
  target_compile_options(phonaut_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer
                                                 -fno-sanitize-recover=all)
  target_link_options(phonaut_flags INTERFACE -fsanitize=address,undefined)
endif()
