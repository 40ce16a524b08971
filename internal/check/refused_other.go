//go:build !windows

package check

import "syscall"

// connRefused is the error of a connection that nobody accepts.
const connRefused = syscall.ECONNREFUSED
