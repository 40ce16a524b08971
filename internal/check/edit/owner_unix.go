//go:build unix

package edit

import (
	"io/fs"
	"os"
	"syscall"
)

// mayReplace reports whether the file is the user's, or the user is root.
func mayReplace(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || os.Geteuid() == 0 || int(stat.Uid) == os.Geteuid()
}

// keepOwner gives a new file the owner and group of another one. Somebody else than root can do so for groups that the user
// is in; for another one, the file keeps the group that new files have in its folder.
func keepOwner(file *os.File, like fs.FileInfo) error {
	stat, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	err := file.Chown(int(stat.Uid), int(stat.Gid))
	if os.Geteuid() != 0 {
		return nil
	}
	return err
}
