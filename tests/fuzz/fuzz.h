/*
 * One target a parser: fuzz_SUBJECT.c, its corpus in corpus/SUBJECT/. In the ordinary run replay.c feeds the corpus to
 * it; to search for new inputs (apt install clang libclang-rt-14-dev):
 *
 *   cmake -S . -B build-fuzz -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DTAGSEAL_SANITIZE=ON \
 *         -DTAGSEAL_FUZZ=ON && ninja -C build-fuzz fuzz_json
 *   build-fuzz/tests/fuzz_json -max_total_time=60 NEW-FOLDER tests/fuzz/corpus/json
 *
 * An input that once broke something belongs into the corpus.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Returns 0. A target that sees something untrue (what was written cannot be read again) calls abort(). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
