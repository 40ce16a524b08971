package check

import "golang.org/x/sys/windows"

// connRefused is the error of a connection that nobody accepts.
const connRefused = windows.WSAECONNREFUSED
