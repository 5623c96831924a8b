// Whether the processor's (or emulator's) AVX2 gathers load what they should: qemu 7.2's do not.
#include <immintrin.h>

__attribute__((target("avx2"), noinline)) bool gathers(const float* values, const int* at) {
    float found[16];
    for (int half = 0; half < 2; ++half)
        _mm256_storeu_ps(found + 8 * half,
                         _mm256_i32gather_ps(
                             values, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 8 * half)), 4));
    bool right = true;
    for (int i = 0; i < 16; ++i) right = right && found[i] == values[at[i]];
    return right;
}

int main() {
    float values[256];
    int at[16];
    for (int i = 0; i < 256; ++i) values[i] = 1.25f * static_cast<float>(i);
    for (int i = 0; i < 16; ++i) at[i] = i * 37 % 256;
    return gathers(values, at) ? 0 : 1;
}
