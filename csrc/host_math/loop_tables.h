// Tables of loops, one set an instruction set of the host; the files loops/*.inc fill them, elementwise.cpp reads them.
#pragma once

#include "base/dtype.h"
#include "host_math/elementwise.h"
#include "host_math/layout.h"
#include "host_math/operations.h"
#include "host_math/random.h"
#include "host_math/reductions.h"

namespace mtia::host_math {

struct UnaryTable {
  UnaryLoop loops[unary_op_count][dtype_count];
};

struct BinaryTable {
  BinaryLoop loops[binary_op_count][dtype_count];
};

struct CompareTable {
  BinaryLoop integer[integer_compare_count][dtype_count];
  BinaryLoop floating[float_compare_count][dtype_count];
  TernaryLoop ternary[ternary_op_count][dtype_count];
  TernaryLoop select[dtype_count];
};

struct ConvertTable {
  UnaryLoop loops[2][2][dtype_count][dtype_count];  // [is_unsigned][rounding][from][to]
};

struct ReduceTable {
  ReduceLoop rows[reduce_op_count][dtype_count];
  ReduceLoop columns[reduce_op_count][dtype_count];
  ScanLoop scan_rows[reduce_op_count][dtype_count];
  ScanLoop scan_columns[reduce_op_count][dtype_count];
  ReduceIndexLoop index_rows[reduce_op_count][dtype_count];
};

struct LayoutTable {
  TransposeLoop transpose[4];  // by log2 of the element size
};

struct RandomTable {
  PhiloxLoop bits;
  PhiloxFloatLoop uniform;
  PhiloxFloatLoop normal;
};

#define MTIA_DECLARE_TABLES(isa)           \
  namespace isa {                          \
  extern const UnaryTable unary_table;     \
  extern const BinaryTable binary_table;   \
  extern const CompareTable compare_table; \
  extern const ConvertTable convert_table; \
  extern const ReduceTable reduce_table;   \
  extern const LayoutTable layout_table;   \
  extern const RandomTable random_table;   \
  }
MTIA_DECLARE_TABLES(plain)
MTIA_DECLARE_TABLES(avx2)
MTIA_DECLARE_TABLES(avx512)
#undef MTIA_DECLARE_TABLES

}  // namespace mtia::host_math
