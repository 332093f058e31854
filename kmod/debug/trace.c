// SPDX-License-Identifier: GPL-2.0
/* The tracepoints' own code; see <trace/events/kmheap.h>. */
#include "base/compat.h"

#define CREATE_TRACE_POINTS
#include <trace/events/kmheap.h>
