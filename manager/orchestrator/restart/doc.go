// Package restart decides what happens after a task ended by itself, and
// starts replacements when their time has come.
//
// [Decide] is the restart policy: whether the slot gets another task, after
// which delay, and why. The delay doubles with each restart in a row, up to a
// maximum, and starts anew once a task stayed up. Everything it needs is in
// the slot's tasks, so a new leader goes on with the same delays.
//
// A replacement is created at once with desired READY, so that its image is
// there and its container made when the delay is over; after a task that could
// not be prepared with desired PENDING, so that no node tries before that.
// [Controller] then raises it to RUNNING: after start_after, and with hold once its predecessor
// has stopped, however long its grace period is.
package restart
