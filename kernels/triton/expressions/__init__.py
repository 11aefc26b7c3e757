"""Expressions of the element-wise table: functions of compute-dtype values, one value a call."""
