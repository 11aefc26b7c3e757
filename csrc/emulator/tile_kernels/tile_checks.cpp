// The findings of a PE's roles.
#include "emulator/tile_kernels/tile_checks.h"

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
  const auto before = shadow_.use(tile, role.number, role.line, writes);
  if (!before) return;
  Finding finding = finding_of(Check::race_between_roles, role, tile);
  finding.index = {before->place.first, before->place.second};
  finding.problem = concat(role.operation, writes ? " writes" : " reads", " element ", describe_tuple(finding.index),
                           " of ", describe_tensor(finding.tensor, finding.sizes), ", allocated at ",
                           text_of(shadow_.allocated_at(tile.page)));
  finding.before = concat("role ", role.pe->roles[before->use.role]->name(), before->use.writes ? " wrote" : " read",
                          " it at ", text_of(before->use.line), ", and no circular buffer orders the two");
  checker_.report_local(*role.pe->state->log, place_of(*role.pe->state), std::move(finding));
}

void TileChecks::read(const Role& role, const mtia_tile& tile) {
  if (const auto place = shadow_.unwritten(tile)) {
    Finding finding = finding_of(Check::uninitialised_local_read, role, tile);
    finding.index = {place->first, place->second};
    finding.problem = concat(role.operation, " reads element ", describe_tuple(finding.index), " of ",
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

void TileChecks::load(const Role& role, const mtia_region& source, int64_t rows, int64_t columns) {
  const auto found = stores_.under_way(source, rows, columns, shadow_.clock(role.number));
  if (!found) return;
  const StoreHistory::Store& store = found->store;
  checker_.report(*role.pe->state->log, Check::load_overtakes_store, place_of(*role.pe->state), found->address,
                  size_of(static_cast<DType>(source.dtype)), role.operation,
                  concat("role ", role.pe->roles[store.role]->name(), " stores it at ", text_of(store.line),
                         ", and no barrier has waited for that"));
}

void TileChecks::store(const Role& role, const mtia_region& destination, int64_t rows, int64_t columns) {
  stores_.add(destination, rows, columns, role.number, role.line);
}

void TileChecks::waited(const Role& role) { stores_.wait(role.number, shadow_.tick(role.number)); }

}  // namespace mtia::emulator
