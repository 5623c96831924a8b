// The keys of a block with what lies beside them (KvBlockCodec::encode_mean()): the record of their mean, of each key the share of
// it that was taken off (simd/attention_plan.hpp), and where the quantizer has 2 to 4 bits a coordinate the keys' grades
// (simd/graded_keys.hpp): 16 of 64 may have a bit more, 16 others then have one less.
//
// A key's squared error is D(bits)·(the energy that its share of the mean leaves), and a bit more or less divides or multiplies
// D by 3 to 4. A bit that goes from the 16 keys of least energy to the 16 of most lowers the sum where these have more than about
// 3 times as much. Neighbours are mostly alike, and in a language model some 16 of 100 blocks have such keys; but these are the
// keys of what is unlike its surroundings, which attention looks for later: names, numbers (examples/tiny_lm).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "turboquant/block_format.hpp"
#include "turboquant/config.hpp"
#include "turboquant/lloyd_max_codebook.hpp"
#include "turboquant/mse_quantizer.hpp"
#include "turboquant/simd/dispatch.hpp"
#include "turboquant/simd/graded_keys.hpp"
#include "turboquant/simd/kernels.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

// What a codec finds out once about the grades of its keys: here, that there are none.
template <class Quantizer, class = void>
struct KeyGrading {
    static constexpr bool kPossible = false;
    explicit KeyGrading(const Quantizer&) noexcept {}
    static constexpr bool possible() noexcept { return false; }
    static constexpr std::size_t bytes() noexcept { return 0; }
};

// MseQuantizers of a bit more and a bit less, which share its rotation. Theirs are nearest centroids, whatever its Refinement.
template <int Dim, int Bits, class RotationT, class ScaleT>
struct KeyGrading<MseQuantizer<Dim, Bits, RotationT, ScaleT>, std::enable_if_t<Bits >= 2 && Bits <= 4>> {
    static constexpr bool kPossible = true;
    explicit KeyGrading(const MseQuantizer<Dim, Bits, RotationT, ScaleT>& quantizer) {
        if (quantizer.dim() % 32 != 0) return;
        for (const int bits : {Bits + 1, Bits - 1}) {
            simd::CodecPlan plan = quantizer.plan();
            plan.bits = bits;
            plan.codebook = &codebook(plan.dim, bits).table;
            plan.encoder = nullptr;
            plan.complete();
            (bits > Bits ? finer : coarser) = plan;
        }
    }
    // The layout wants whole steps.
    bool possible() const noexcept { return finer.dim > 0; }
    // Of the grades of a block.
    std::size_t bytes() const noexcept { return possible() ? simd::kGradeBytes : 0; }

    simd::CodecPlan finer, coarser;
};

// The parts of what lies beside a block.
template <class Quantizer>
class KeysWithShares : public BlockFormat<Quantizer> {
public:
    KeysWithShares(const Quantizer& quantizer, const KeyGrading<Quantizer>& grading)
        : BlockFormat<Quantizer>(quantizer), grading_(&grading) {}

    std::size_t mean_bytes() const {
        return this->mean_record_bytes() + simd::kShareBytes + grading_->bytes();
    }
    template <class Byte>
    Byte* shares_of(Byte* key_mean) const {
        return key_mean + this->mean_record_bytes();
    }
    template <class Byte>
    Byte* grades_beside(Byte* key_mean) const {
        return shares_of(key_mean) + simd::kShareBytes;
    }

protected:
    const KeyGrading<Quantizer>* grading_;
};

// Of keys that all have the same number of bits.
template <class Quantizer, class = void>
class KeyFormat : public KeysWithShares<Quantizer> {
    using Base = KeysWithShares<Quantizer>;

public:
    using Base::Base;

    static constexpr bool graded(const std::uint8_t*) noexcept { return false; }
    static constexpr bool well_formed(const std::uint8_t*) noexcept { return true; }
    void grade(const float*, const float*, float, std::uint8_t*) const noexcept {}

    const float* products(const FloatKernels& kernels, const std::uint8_t* block, const std::uint8_t*,
                          int tokens, const BlockQueries& queries, float* logits, float* scales,
                          float* tile) const {
        return Base::key_products(kernels, block, tokens, queries, logits, scales, tile);
    }
    void decode(const std::uint8_t* block, const std::uint8_t*, int t, float* out, float* scratch) const {
        Base::decode_key(block, t, out, scratch);
    }
    // Zeros for tokens `first` and up, from as many bytes of zeros as 64 records have.
    void erase(std::uint8_t* block, const std::uint8_t*, int first, const std::uint8_t* zeros) const {
        Base::store_keys(zeros, first, kBlockTokens - first, block);
    }

    // Encodes the keys of tokens `first` and up, some at a time, and then stores them: nothing is written where one is refused.
    // `records` has room for them, or where they are graded for 64; `rows` then for as many rows as come at a time.
    class Encoder {
    public:
        Encoder(const KeyFormat& format, const std::uint8_t*, int first, std::uint8_t* records, float*)
            : format_(format), first_(first), records_(records) {}
        void encode_rows(const char* where, const float* rows, std::ptrdiff_t stride, int count,
                         std::uint8_t* records, float* scratch) {
            format_.encode_rows(where, rows, stride, count, records, scratch);
        }
        void store(int count, std::uint8_t* block) const {
            format_.store_keys(records_, first_, count, block);
        }

    private:
        const KeyFormat& format_;
        int first_;
        const std::uint8_t* records_;
    };
};

template <class Quantizer>
class KeyFormat<Quantizer, std::enable_if_t<KeyGrading<Quantizer>::kPossible>>
    : public KeysWithShares<Quantizer> {
    using Base = KeysWithShares<Quantizer>;
    using Base::grading_;
    static constexpr int kBits = Quantizer::kBits;
    static constexpr int kDim =
        simd::kKernelDim<(Quantizer::kStructured ? Quantizer::Decoded::RowsAtCompileTime : Dynamic)>;

public:
    KeyFormat(const Quantizer& quantizer, const KeyGrading<Quantizer>& grading)
        : Base(quantizer, grading), even_(&quantizer.plan()) {}

    // Of a block without a mean there are no grades.
    simd::KeyGrades stored_grades(const std::uint8_t* key_mean) const {
        simd::KeyGrades grades;
        if (key_mean != nullptr && grading_->possible())
            std::memcpy(&grades, this->grades_beside(key_mean), sizeof grades);
        return grades;
    }
    // None where those cannot be: memory that is not ours may hold anything.
    simd::KeyGrades grades_of(const std::uint8_t* key_mean) const {
        const simd::KeyGrades grades = stored_grades(key_mean);
        return grades.possible() ? grades : simd::KeyGrades{};
    }
    bool well_formed(const std::uint8_t* key_mean) const { return stored_grades(key_mean).possible(); }
    bool graded(const std::uint8_t* key_mean) const { return grades_of(key_mean).graded(); }

    // From the products of a block's keys with their mean, their squares, and that of the mean.
    void grade(const float* products, const float* squares, float mean_square, std::uint8_t* key_mean) const {
        if (!grading_->possible()) return;
        constexpr float kGain = kDistortions[kBits] - kDistortions[kBits + 1];
        constexpr float kLoss = kDistortions[kBits - 1] - kDistortions[kBits];
        const simd::KeyGrades grades =
            TURBOQUANT_KERNEL(grade_keys)(products, squares, mean_square, kGain, kLoss);
        std::memcpy(this->grades_beside(key_mean), &grades, sizeof grades);
    }

    const float* products(const FloatKernels& kernels, const std::uint8_t* block,
                          const std::uint8_t* key_mean, int tokens, const BlockQueries& queries,
                          float* logits, float* scales, float* tile) const {
        const simd::KeyGrades grades = stored_grades(key_mean);
        if (!grades.graded())
            return Base::key_products(kernels, block, tokens, queries, logits, scales, tile);
        const simd::GradedCodebooks codebooks{grading_->finer.codebook, even_->codebook,
                                              grading_->coarser.codebook};
        if constexpr (kFinerRecords)
            finer_products_(grading_->finer, block, grades.finer, queries.rotated, queries.stride,
                            queries.columns, logits);
        graded_products_(even_->dim, codebooks, block, grades, queries.rounded, queries.columns, logits);
        return block_scales(this->key_scales(block), even_->scale_type, scales);
    }

    void decode(const std::uint8_t* block, const std::uint8_t* key_mean, int t, float* out,
                float* scratch) const {
        const simd::KeyGrades grades = grades_of(key_mean);
        if (!grades.graded()) return Base::decode_key(block, t, out, scratch);
        with_key(
            grades, block, t,
            [&](auto width, auto keys, const simd::CodecPlan& plan, const std::uint8_t* group, int place) {
                const auto code = simd::graded_code<kBits, decltype(width)::value, decltype(keys)::value>;
                this->decode_codes([&](int i) { return code(plan.dim, group, place, i); }, *plan.codebook,
                                   this->key_scales(block), t, out, scratch);
            });
    }

    void erase(std::uint8_t* block, const std::uint8_t* key_mean, int first,
               const std::uint8_t* zeros) const {
        const simd::KeyGrades grades = grades_of(key_mean);
        if (!grades.graded()) return Base::store_keys(zeros, first, kBlockTokens - first, block);
        for (int t = first; t < kBlockTokens; ++t) store(grades, zeros, t, block);
    }

    class Encoder {
    public:
        Encoder(const KeyFormat& format, const std::uint8_t* key_mean, int first, std::uint8_t* records,
                float* rows)
            : format_(format),
              grades_(format.grades_of(key_mean)),
              first_(first),
              token_(first),
              records_(records),
              rows_(rows) {
            if (!grades_.graded()) return;
            for (int grade = 0; grade < 3; ++grade) {
                end_[grade] = begin_[grade] = records;
                records += static_cast<std::size_t>(simd::kKeysOfGrade[grade]) *
                           format.plan_of(grade).record_bytes();
            }
        }

        void encode_rows(const char* where, const float* rows, std::ptrdiff_t stride, int count,
                         std::uint8_t* records, float* scratch) {
            if (!grades_.graded()) return format_.encode_rows(where, rows, stride, count, records, scratch);
            const int dim = format_.even_->dim;
            const std::ptrdiff_t row = simd::padded(dim);
            float* to = rows_;  // grade by grade
            int counts[3] = {};
            for (int grade = 0; grade < 3; ++grade)
                for (int r = 0; r < count; ++r) {
                    if (grades_.of(token_ + r) != grade) continue;
                    std::memcpy(to, rows + r * stride, static_cast<std::size_t>(dim) * sizeof(float));
                    to += row;
                    ++counts[grade];
                }
            token_ += count;
            const float* from = rows_;
            encode<kBits + 1>(where, 0, from, row, counts[0], scratch);
            encode<kBits>(where, 1, from += counts[0] * row, row, counts[1], scratch);
            encode<kBits - 1>(where, 2, from += counts[1] * row, row, counts[2], scratch);
        }

        void store(int count, std::uint8_t* block) const {
            if (!grades_.graded()) return format_.store_keys(records_, first_, count, block);
            const std::uint8_t* next[3] = {begin_[0], begin_[1], begin_[2]};
            for (int t = first_; t < first_ + count; ++t) {
                const int grade = grades_.of(t);
                format_.store(grades_, next[grade], t, block);
                next[grade] += format_.plan_of(grade).record_bytes();
            }
        }

    private:
        template <int Width>
        void encode(const char* where, int grade, const float* rows, std::ptrdiff_t stride, int count,
                    float* scratch) {
            if (count == 0) return;
            const simd::CodecPlan& plan = format_.plan_of(grade);
            encode_by_plan<kDim, Width>(where, plan, rows, stride, count, end_[grade], scratch);
            end_[grade] += static_cast<std::size_t>(count) * plan.record_bytes();
        }

        const KeyFormat& format_;
        simd::KeyGrades grades_;
        int first_, token_;
        std::uint8_t* records_;
        std::uint8_t *begin_[3] = {}, *end_[3] = {};  // of each grade's records
        float* rows_;
    };

private:
    const simd::CodecPlan& plan_of(int grade) const noexcept {
        return grade == 0 ? grading_->finer : grade == 1 ? *even_ : grading_->coarser;
    }
    template <int N>
    using Constant = std::integral_constant<int, N>;

    // Calls body(bits a coordinate, keys of the group, plan, where the group begins, place in it) for the key of token t.
    template <class Byte, class Body>
    void with_key(const simd::KeyGrades& grades, Byte* block, int t, Body&& body) const {
        const int grade = grades.of(t), place = grades.place(t);
        Byte* const group = block + simd::graded_offset(kBits, grade, even_->dim);
        if (grade == 0)
            body(Constant<kBits + 1>(), Constant<simd::kFinerKeys>(), plan_of(0), group, place);
        else if (grade == 1)
            body(Constant<kBits>(), Constant<simd::kEvenKeys>(), plan_of(1), group, place);
        else
            body(Constant<kBits - 1>(), Constant<simd::kCoarserKeys>(), plan_of(2), group, place);
    }

    void store(const simd::KeyGrades& grades, const std::uint8_t* record, int t, std::uint8_t* block) const {
        with_key(grades, block, t,
                 [&](auto width, auto keys, const simd::CodecPlan& plan, std::uint8_t* group, int place) {
                     simd::store_graded<kBits, decltype(width)::value, decltype(keys)::value>(
                         plan.dim, record, group, place);
                     const std::size_t bytes = simd::scale_bytes(plan.scale_type);
                     std::memcpy(this->key_scales(block) + static_cast<std::size_t>(t) * bytes,
                                 record + plan.scale_offset(), bytes);
                 });
    }

    const simd::CodecPlan* even_;
    // Whether finer keys have 5 bits.
    static constexpr bool kFinerRecords = kBits + 1 > 4;
    static simd::FinerProductsKernel* finer_products_kernel() {
        if constexpr (kFinerRecords)
            return simd::finer_products_kernel<kBits + 1>();
        else
            return nullptr;
    }
    simd::FinerProductsKernel* finer_products_ = finer_products_kernel();
    simd::GradedProductsKernel* graded_products_ = simd::graded_products_kernel<kBits>();
};

}  // namespace detail
TURBOQUANT_NAMESPACE_END
