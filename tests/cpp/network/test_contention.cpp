// Operations that share a chip's links.
#include "network/contention.h"

#include <array>

#include "test.h"

namespace {

using mtia::network::Cluster;
using mtia::network::end_beside;
using mtia::network::LinkCalendar;
using mtia::network::LinkUse;
using mtia::network::NetworkAccount;

NetworkAccount alone(double seconds, double peer, double scale_out) {
  NetworkAccount account;
  account.seconds = seconds;
  account.share.peer = peer;
  account.share.scale_out = scale_out;
  return account;
}

TEST(two_that_fill_a_link_take_as_long_as_one_after_the_other) {
  const Cluster cluster;
  const std::array<LinkUse, 1> other{{{0, 10, {1, 0, 0, 0}}}};
  CHECK_NEAR(end_beside(cluster, other, 0, alone(10, 1, 0)), 20, 1e-12);
  CHECK_NEAR(end_beside(cluster, other, 4, alone(10, 1, 0)), 20, 1e-12);
  CHECK_NEAR(end_beside(cluster, other, 12, alone(10, 1, 0)), 22, 1e-12);
}

TEST(what_one_leaves_of_a_link_the_other_has) {
  const Cluster cluster;
  const std::array<LinkUse, 1> other{{{0, 10, {0.75, 0, 0, 0}}}};
  CHECK_NEAR(end_beside(cluster, other, 0, alone(10, 0.5, 0)), 15, 1e-12);   // at half its rate for 10 s
  CHECK_NEAR(end_beside(cluster, other, 0, alone(10, 0.25, 0)), 10, 1e-12);  // it needs no more than is left
}

TEST(links_within_and_between_domains_are_shared_apart) {
  const Cluster cluster;
  const std::array<LinkUse, 1> other{{{0, 10, {1, 0.1, 0, 0}}}};
  CHECK_NEAR(end_beside(cluster, other, 0, alone(10, 0, 0.9)), 10, 1e-12);
  CHECK_NEAR(end_beside(cluster, other, 0, alone(10, 0.1, 0.9)), 20, 1e-12);
}

TEST(one_that_was_called_later_may_begin_earlier) {
  const Cluster cluster;
  const std::array<LinkUse, 2> others{{{6, 8, {1, 0, 0, 0}}, {2, 3, {1, 0, 0, 0}}}};
  CHECK_NEAR(end_beside(cluster, others, 0, alone(10, 1, 0)), 13, 1e-12);
}

TEST(no_more_are_under_way_than_there_are_message_engines) {
  Cluster cluster;
  cluster.message_engines = 1;
  const std::array<LinkUse, 1> other{{{0, 10, {0.1, 0, 0, 0}}}};
  CHECK_NEAR(end_beside(cluster, other, 0, alone(5, 0.1, 0)), 15, 1e-12);
  cluster.message_engines = 2;
  CHECK_NEAR(end_beside(cluster, other, 0, alone(5, 0.1, 0)), 5, 1e-12);
}

TEST(a_calendar_knows_those_that_have_not_ended) {
  LinkCalendar calendar;
  int first = 0, second = 0;
  calendar.begin(&first, {0, 10, {1, 0, 0, 0}});
  calendar.begin(&second, {5, 8, {1, 0, 0, 0}});
  CHECK_EQ(calendar.after(9).size(), 1U);
  calendar.end(&first, 20, 30);  // it waited for the last rank
  CHECK_EQ(calendar.after(9).size(), 1U);
  CHECK_EQ(calendar.after(9).front().begin, 20.0);
  calendar.begin(&first, {40, 50, {1, 0, 0, 0}});  // another at the same place
  calendar.forget(&first);
  CHECK_EQ(calendar.after(30).size(), 0U);
  CHECK_EQ(calendar.after(7).size(), 2U);
  CHECK_EQ(calendar.after(7, 1).front().begin, 5.0);  // the last that was called
}

TEST(a_calendar_forgets_what_is_long_over) {
  LinkCalendar calendar;
  std::array<int, 2 * LinkCalendar::kept> places{};
  for (int& place : places) calendar.begin(&place, {0, 1, {}});
  CHECK_EQ(calendar.after(0).size(), LinkCalendar::kept);
}

}  // namespace
