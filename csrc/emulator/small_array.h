// A growable array of trivial elements whose first `inline_count` live inside of the object: launches carry their
// arguments without heap churn.
#pragma once

#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <type_traits>
#include <utility>

namespace mtia::emulator {

template <typename T, size_t inline_count>
class SmallArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  SmallArray() = default;
  SmallArray(std::initializer_list<T> values) { assign(values.begin(), values.size()); }
  SmallArray(const SmallArray& other) { assign(other.data(), other.size_); }
  SmallArray(SmallArray&& other) noexcept { take(other); }
  SmallArray& operator=(const SmallArray& other) {
    if (this != &other) assign(other.data(), other.size_);
    return *this;
  }
  SmallArray& operator=(SmallArray&& other) noexcept {
    if (this != &other) take(other);
    return *this;
  }

  void assign(const T* values, size_t count) {
    resize(count);
    if (count != 0) std::memcpy(static_cast<void*>(data()), values, count * sizeof(T));
  }
  void push_back(const T& value) {
    const T kept = value;
    if (size_ == capacity_) grow(2 * capacity_);
    data()[size_++] = kept;
  }
  void resize(size_t count) {
    if (count > capacity_) grow(count);
    size_ = count;
  }
  void clear() { size_ = 0; }

  T* data() { return heap_ ? heap_.get() : inline_; }
  const T* data() const { return heap_ ? heap_.get() : inline_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t index) { return data()[index]; }
  const T& operator[](size_t index) const { return data()[index]; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }

 private:
  void grow(size_t capacity) {
    std::unique_ptr<T[]> larger(new T[capacity]);
    if (size_ != 0) std::memcpy(static_cast<void*>(larger.get()), data(), size_ * sizeof(T));
    heap_ = std::move(larger);
    capacity_ = capacity;
  }
  void take(SmallArray& other) {
    heap_ = std::move(other.heap_);
    size_ = other.size_;
    capacity_ = heap_ ? other.capacity_ : inline_count;
    if (!heap_ && size_ != 0) std::memcpy(static_cast<void*>(inline_), other.inline_, size_ * sizeof(T));
    other.heap_.reset();
    other.size_ = 0;
    other.capacity_ = inline_count;
  }

  size_t size_ = 0;
  size_t capacity_ = inline_count;
  std::unique_ptr<T[]> heap_;
  T inline_[inline_count];
};

}  // namespace mtia::emulator
