// The findings of a PE's roles.
#include "emulator/tile_kernels/tile_checks.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "emulator/checks/checker.h"
#include "emulator/pe/fabric_interface/logged_access.h"
#include "emulator/tile_kernels/role.h"

namespace mtia::emulator {
namespace {

// The constructor of what the roles share runs before all of them.
bool is_running(const Role& role) { return role.pe->shared_made; }

std::string name_of_page(const Role& role, uint32_t page) {
  for (const Ring& ring : role.pe->rings) {
    if (page >= ring.first_page && page < ring.first_page + ring.pages) return ring.title();
  }
  return "tile";
}

Finding finding_of(Check check, const Role& role, const mtia_tile& tile) {
  Finding finding;
  finding.check = check;
  finding.tensor = name_of_page(role, tile.page);
  finding.sizes = {tile.rows, tile.columns};
  finding.strides = {tile.row_stride, tile.column_stride};
  return finding;
}

}  // namespace

void TileChecks::allocated(const Role& role, uint32_t page, int64_t rows, int64_t columns) {
  shadow_.allocate(page, rows, columns, role.line);
}

void TileChecks::reserved(const Role& role, uint32_t page) {
  shadow_.renew(page);
  shadow_.acquire(role.number, page);
}

void TileChecks::taken(const Role& role, uint32_t page) { shadow_.acquire(role.number, page); }

void TileChecks::handed_over(const Role& role, uint32_t page) { shadow_.release(role.number, page); }

void TileChecks::use(const Role& role, const mtia_tile& tile, bool writes) {
  if (!is_running(role)) return;
  const auto before = shadow_.use(tile.page, role.number, role.line, writes);
  if (!before) return;
  Finding finding = finding_of(Check::race_between_roles, role, tile);
  finding.problem =
      concat("role ", role.name(), writes ? " writes " : " reads ", describe_tensor(finding.tensor, finding.sizes),
             ", allocated at ", text_of(shadow_.allocated_at(tile.page)));
  finding.before = concat("role ", role.pe->roles[before->role]->name(), before->writes ? " wrote" : " read", " it at ",
                          text_of(before->line), ", and no circular buffer orders the two");
  checker_.report_local(*role.pe->state->log, place_of(*role.pe->state), std::move(finding));
}

void TileChecks::read(const Role& role, const mtia_tile& tile) {
  if (const auto place = shadow_.unwritten(tile)) {
    Finding finding = finding_of(Check::uninitialised_local_read, role, tile);
    finding.index = {place->first, place->second};
    finding.problem =
        concat("role ", role.name(), ": ", role.operation, " reads element ", describe_tuple(finding.index), " of ",
               describe_tensor(finding.tensor, finding.sizes), ", which nothing wrote");
    finding.before = concat("allocated at ", text_of(shadow_.allocated_at(tile.page)));
    checker_.report_local(*role.pe->state->log, place_of(*role.pe->state), std::move(finding));
    shadow_.write(tile);  // reported once
  }
  use(role, tile, false);
}

void TileChecks::write(const Role& role, const mtia_tile& tile, bool overwrites) {
  if (!overwrites) read(role, tile);
  shadow_.write(tile);
  use(role, tile, true);
}

void TileChecks::load(const Role& role, const mtia_region& source, int64_t rows, int64_t columns, SubCycles start) {
  rows = std::min(rows, source.valid_rows);
  columns = std::min(columns, source.valid_columns);
  const auto found = stores_.under_way(source, rows, columns, start);
  if (!found) return;
  const StoreHistory::Store& store = found->store;
  checker_.report(*role.pe->state->log, Check::load_overtakes_store, place_of(*role.pe->state), found->address,
                  size_of(static_cast<DType>(source.dtype)), concat("role ", role.name(), ": ", role.operation),
                  concat("role ", role.pe->roles[store.role]->name(), " stores it at ", text_of(store.line),
                         " and is done ", (store.end - start + cycle - 1) / cycle, " cycles later"));
}

void TileChecks::store(const Role& role, const mtia_region& destination, int64_t rows, int64_t columns, SubCycles end) {
  StoreHistory::Store store;
  store.region = destination;
  store.rows = std::min(rows, destination.valid_rows);
  store.columns = std::min(columns, destination.valid_columns);
  store.end = end;
  store.role = role.number;
  store.line = role.line;
  stores_.add(store);
}

}  // namespace mtia::emulator
