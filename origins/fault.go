package origins

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// A fault logs a fault that lasts: at most one error a minute, and when it is over.
type fault struct {
	errors rate.Sometimes
	logged atomic.Bool // whether the fault that there is now has been
}

func newFault() *fault { return &fault{errors: rate.Sometimes{Interval: time.Minute}} }

// is logs that there is a fault, unless an error was logged less than a minute ago.
func (f *fault) is(logger *zap.Logger, message string, err error, fields ...zap.Field) {
	f.errors.Do(func() {
		logger.Error(message, append(fields, zap.Error(err))...)
		f.logged.Store(true)
	})
}

// over logs that there is no fault any more, if that there was one has been logged.
func (f *fault) over(logger *zap.Logger, message string) {
	if f.logged.CompareAndSwap(true, false) {
		logger.Info(message)
	}
}
