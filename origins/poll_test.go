package origins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

const (
	originA, originB = "https://a.test", "https://b.test"

	interval = 4 * time.Second
)

// A polled is a poller under test. Its clock is that of the test's bubble, so nothing waits for it.
type polled struct {
	*poller
	t    *testing.T
	logs *observer.ObservedLogs
}

func poll(t *testing.T, text text, wholeLines bool) polled {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	p := &poller{wholeLines: wholeLines}
	if err := p.start(t.Context(), text, "list", caddy.Duration(interval), zap.New(core)); err != nil {
		t.Fatal(err)
	}
	return polled{p, t, logs}
}

// after lets some time pass, and ends when the poller has nothing left to do.
func (p polled) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// allows checks that the list allows these origins, and of a.test and b.test no other.
func (p polled) allows(origins ...string) {
	p.t.Helper()
	want := strings.Join(origins, " ")
	var got []string
	for _, origin := range []string{originA, originB} {
		if p.list.Load().allows(origin) {
			got = append(got, origin)
		}
	}
	if strings.Join(got, " ") != want {
		p.t.Errorf("allows %v, want %v", got, origins)
	}
}

// logged checks what was logged since the last time: for each entry its level and a part of what it says.
func (p polled) logged(want ...string) {
	p.t.Helper()
	entries := p.logs.TakeAll()
	var got []string
	for _, entry := range entries {
		got = append(got, fmt.Sprint(entry.Level, " ", entry.Message, " ", entry.ContextMap()))
	}
	if len(got) != len(want) {
		p.t.Errorf("logged:\n%s\nwant %d: %q", strings.Join(got, "\n"), len(want), want)
		return
	}
	for i := range got {
		level, part, _ := strings.Cut(want[i], " ")
		if !strings.HasPrefix(got[i], level) || !strings.Contains(got[i], part) {
			p.t.Errorf("logged: %s\nwant: %s", got[i], want[i])
		}
	}
}

const replaced, good = "info the list of origins was replaced", "info the list of origins is good again"

// A testFile is a file with a list. Its times of modification are a minute apart: the clock of the test is faster than
// that of the file system.
type testFile struct {
	t        *testing.T
	path     string
	modified time.Time
}

func newTestFile(t *testing.T, content string) *testFile {
	f := &testFile{t: t, path: filepath.Join(t.TempDir(), "list"), modified: time.Now()}
	f.write(content)
	return f
}

func (f *testFile) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// write writes the file in place.
func (f *testFile) write(content string) {
	f.t.Helper()
	f.must(os.WriteFile(f.path, []byte(content), 0o600))
	f.touch()
}

func (f *testFile) touch() {
	f.t.Helper()
	f.modified = f.modified.Add(time.Minute)
	f.must(os.Chtimes(f.path, f.modified, f.modified))
}

// rename puts another file in the place of this one.
func (f *testFile) rename(content string) {
	f.t.Helper()
	next := &testFile{f.t, f.path + ".next", f.modified}
	next.write(content)
	f.modified = next.modified
	f.must(os.Rename(next.path, f.path))
}

func TestChangeIsLiveWithinTheInterval(t *testing.T) {
	for name, change := range map[string]func(*testFile){
		"renamed":          func(f *testFile) { f.rename("https://b.test\n") },
		"written in place": func(f *testFile) { f.write("https://b.test\n") },
		"of an older time": func(f *testFile) { f.modified = f.modified.Add(-time.Hour); f.rename("https://b.test\n") },
		"of the same time": func(f *testFile) { f.modified = f.modified.Add(-time.Minute); f.rename("https://b.test\n") },
		"renamed, with wildcards": func(f *testFile) {
			f.rename("https://b.test:*\n")
		},
	} {
		t.Run(name, func(t *testing.T) { testChange(t, change) })
	}
}

// testChange changes a list that allows a.test into one that allows b.test, at several times within the interval.
func testChange(t *testing.T, change func(*testFile)) {
	for _, offset := range []time.Duration{0, interval/2 - 1, interval / 2, interval - 1} {
		t.Run(offset.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newTestFile(t, "https://a.test\n")
				p := poll(t, textFile(f.path), true)
				p.after(offset)
				p.allows(originA)
				change(f)
				p.after(interval)
				p.allows(originB)
				p.logged(replaced)
				p.after(time.Hour)
				p.logged()
			})
		})
	}
}

// The version that is loaded is read a second time: it may have changed in the very moment it was read, without another
// time of modification.
func TestChangeInTheMomentOfTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFile(t, "https://a.test\n")
		p := poll(t, textFile(f.path), true)
		f.modified = f.modified.Add(-time.Minute)
		f.write("https://b.test\n")
		p.after(interval)
		p.allows(originB)
		p.logged(replaced)
	})
}

func TestUnchangedFileIsNotReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFile(t, "https://a.test\n")
		text := &slowText{text: textFile(f.path)}
		p := poll(t, text, true)
		p.after(time.Hour)
		if n := text.reads.Load(); n != 2 {
			t.Errorf("%d reads", n)
		}
		list := p.list.Load()
		f.touch()
		p.after(time.Hour)
		if n := text.reads.Load(); n != 3 || p.list.Load() != list {
			t.Errorf("%d reads; the same text made another list: %v", n, p.list.Load() != list)
		}
		p.logged()
	})
}

// A file that is written in place, a piece at a time, is not taken before it is whole.
func TestHalfWrittenFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFile(t, "https://a.test\n")
		p := poll(t, textFile(f.path), true)
		for _, content := range []string{"", "https://b.te", "https://b.test\n", "https://b.test\nhttps", "https://b.test\nhttps://a.test.co", "https://b.test\nhttps://a.test.com\n"} {
			f.write(content)
			p.after(interval/2 - 1)
			p.allows(originA)
		}
		p.after(interval)
		p.allows(originB)
		p.logged(replaced)
	})
}

// A writer that never came to the end leaves a list that is not taken, though what there is of it reads well.
func TestFileThatWasNotWrittenToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFile(t, "https://a.test\n")
		p := poll(t, textFile(f.path), true)
		f.write("https://b.test\nhttps://app.example.co")
		p.after(interval)
		p.allows(originA)
		p.logged("error list:2: the last line is not terminated, so the file may be cut off there; end it with a newline")
	})
}

// An author whose editor ends no last line may go on like that.
func TestFileWithoutNewlineAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFile(t, "https://a.test")
		p := poll(t, textFile(f.path), true)
		p.allows(originA)
		f.write("https://c.test\nhttps://b.test")
		p.after(interval)
		p.allows(originB)
		p.logged(replaced)
	})
}

// discard reads a text to its end.
func discard(text io.Reader) error {
	_, err := io.Copy(io.Discard, text)
	return err
}

// A version that is gone when it is read, or changes meanwhile, is not taken for another one.
func TestFileThatChangesWhileItIsRead(t *testing.T) {
	for name, change := range map[string]func(*testFile){
		"longer":           func(f *testFile) { f.write("https://a.test\nhttps://b.test\n") },
		"shorter":          func(f *testFile) { f.write("\n") },
		"at the same size": func(f *testFile) { f.write("https://b.test\n") },
		"replaced":         func(f *testFile) { f.modified = f.modified.Add(-time.Minute); f.rename("https://b.test\n") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newTestFile(t, "https://a.test\n")
			text := textFile(f.path)
			version, err := text.stat(t.Context())
			f.must(err)
			change(f)
			if err := text.read(t.Context(), version, discard); !errors.Is(err, errChanged) {
				t.Errorf("read: %v", err)
			}
		})
	}
}

// What is too large is not even loaded where its size is told, and fills no memory for long where it is not.
func TestStoredTextThatIsTooLarge(t *testing.T) {
	f := newTestFile(t, "https://a.test\n")
	f.must(os.Truncate(f.path, maxText+1))
	storage := &hangingStorage{Storage: &certmagic.FileStorage{Path: filepath.Dir(f.path)}}
	storage.hangs.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		text    storedText
		version stamp
	}{
		{storedText{storage, "list"}, stamp{size: maxText + 1}},
		{storedText{storage.Storage, "list"}, stamp{}},
	} {
		if err := test.text.read(ctx, test.version, discard); err == nil || !strings.Contains(err.Error(), "at most 268435456") {
			t.Error(err)
		}
	}
}

// A file that somebody writes all the time is not taken, and the log says so.
func TestFileThatIsNeverTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFile(t, "https://a.test\n")
		p := poll(t, textFile(f.path), true)
		for range restless {
			f.write("https://b.test\n")
			p.after(interval / 2)
			p.allows(originA)
		}
		p.logged("error list: it is never the same for 2s, and might be half-written whenever it is read; change it less often")
		p.after(interval)
		p.allows(originB)
		p.logged(replaced, good)
	})
}

// While a file is being replaced there may be none for a moment.
func TestFileThatIsGoneForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFile(t, "https://a.test\n")
		p := poll(t, textFile(f.path), true)
		p.after(interval)
		f.must(os.Remove(f.path))
		p.after(interval / 2)
		f.write("https://b.test\n")
		p.after(interval)
		p.allows(originB)
		p.logged(replaced)
	})
}

// A listFault is what can go wrong with a list that is there.
type listFault struct {
	make func(path string) error

	// want is what the log says; where it is empty, what the system says of the path.
	want string
}

func writeFault(content string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(content), 0o600) }
}

func replaceFault(by func(path string) error) func(string) error {
	return func(path string) error { return errors.Join(os.RemoveAll(path), by(path)) }
}

// listFaults are those of a file as well as of a key in a storage of files.
var listFaults = map[string]listFault{
	"a bad line":       {writeFault("https://b.test\nhttps://Example.com\n"), `list:2: "https://Example.com" is not written as browsers send it`},
	"everyone":         {writeFault("*\n"), `list:1: "*" is not for lists`},
	"empty":            {writeFault(""), `list: it has no origins`},
	"a commented list": {writeFault("#https://b.test\n"), `list: it has no origins`},
	"binary":           {writeFault("\x7fELF\x02\x01\x01\x00"), `list:1: "\x7fELF`},
	"too large":        {func(path string) error { return os.Truncate(path, maxText+1) }, "268435457 bytes are too many for a list of origins; at most 268435456"},
	"gone":             {os.Remove, ""},
}

// Every fault: the last good list stays, one error a minute says why, and what is good again is taken again.
func TestFaults(t *testing.T) {
	mkdir := func(path string) error { return os.Mkdir(path, 0o700) }
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "list")
		testFaults(t, listFaults, path, path, textFile(path), true)
		testFaults(t, map[string]listFault{
			"a cut line":  {writeFault("https://b.test\nhttps://app.example.co"), "the last line is not terminated"},
			"a directory": {replaceFault(mkdir), "is not a regular file: it is a directory"},
		}, path, path, textFile(path), true)
		dir := filepath.Join(t.TempDir(), "run")
		path = filepath.Join(dir, "list")
		testFaults(t, map[string]listFault{
			"a file for its directory": {replaceFault(writeFault("")), ""},
			"no directory":             {os.RemoveAll, ""},
		}, path, dir, textFile(path), true)
	})
	t.Run("storage", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "storage")
		path := filepath.Join(dir, "cors", "origins")
		text := storedText{&certmagic.FileStorage{Path: dir}, "cors/origins"}
		testFaults(t, listFaults, path, path, text, false)
		testFaults(t, map[string]listFault{"a directory": {replaceFault(mkdir), "key cors/origins: "}}, path, path, text, false)
		testFaults(t, map[string]listFault{
			"down": {os.RemoveAll, ""},
			"lost": {replaceFault(writeFault("")), ""},
		}, path, dir, text, false)
	})
}

// testFaults breaks the list at the path by way of broken, which is the path or a directory above it.
func testFaults(t *testing.T, faults map[string]listFault, path, broken string, text text, wholeLines bool) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &testFile{t, path, time.Now()}
				f.must(os.MkdirAll(filepath.Dir(path), 0o700))
				f.write("https://a.test\n")
				p := poll(t, text, wholeLines)
				p.after(interval)

				f.must(fault.make(broken))
				want := "error " + fault.want
				if fault.want == "" {
					_, err := os.Stat(path)
					want += err.Error()
				}
				p.after(interval)
				p.allows(originA)
				p.logged(want)
				p.after(time.Minute)
				p.logged(want)
				p.after(10 * time.Minute)
				p.allows(originA)
				p.logged(slices.Repeat([]string{want}, 10)...)

				f.must(os.RemoveAll(broken))
				f.must(os.MkdirAll(filepath.Dir(path), 0o700))
				f.write("https://b.test\n")
				p.after(interval)
				p.allows(originB)
				p.logged(replaced, good)

				// One that is over within the minute of an error is not logged, nor is its end.
				f.must(fault.make(broken))
				p.after(interval)
				f.must(os.RemoveAll(broken))
				f.must(os.MkdirAll(filepath.Dir(path), 0o700))
				f.write("https://b.test\n")
				p.after(interval)
				for _, entry := range p.logs.TakeAll() {
					if entry.Level == zap.ErrorLevel {
						t.Errorf("a second error within a minute: %v", entry.ContextMap())
					}
				}
				p.after(10 * time.Minute)
				p.logged()
				p.allows(originB)
			})
		})
	}
}

// A slowText hangs while slow is set.
type slowText struct {
	text
	reads atomic.Int32
	slow  atomic.Pointer[chan struct{}]
}

func (s *slowText) read(ctx context.Context, version stamp, reading func(io.Reader) error) error {
	s.reads.Add(1)
	return s.text.read(ctx, version, reading)
}

func (s *slowText) stat(ctx context.Context) (stamp, error) {
	if slow := s.slow.Load(); slow != nil {
		<-*slow
	}
	return s.text.stat(ctx)
}

// What comes too late is taken nevertheless, and the fault is over when nothing is late any more.
func TestTextThatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFile(t, "https://a.test\n")
		text := &lateText{text: textFile(f.path)}
		p := poll(t, text, true)
		p.after(interval)
		f.write("https://b.test\n")
		text.late.Store(true)
		p.after(interval + patience + time.Second)
		p.allows(originB)
		p.logged("error list: no answer within 30s", replaced)
		text.late.Store(false)
		p.after(patience + interval)
		p.logged(good)
	})
}

// A lateText takes its time to be read, whatever its context says, while late is set.
type lateText struct {
	text
	late atomic.Bool
}

func (s *lateText) read(ctx context.Context, version stamp, reading func(io.Reader) error) error {
	if s.late.Load() {
		time.Sleep(patience + time.Second)
	}
	return s.text.read(ctx, version, reading)
}

// A text that hangs, whatever its context says, is a fault too.
func TestTextThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFile(t, "https://a.test\n")
		text := &slowText{text: textFile(f.path)}
		p := poll(t, text, true)
		p.after(interval/2 + 1)
		slow := make(chan struct{})
		text.slow.Store(&slow)
		f.write("https://b.test\n")
		p.after(interval/2 + patience)
		p.allows(originA)
		p.logged("error list: no answer within 30s")
		text.slow.Store(nil)
		close(slow)
		p.after(interval)
		p.allows(originB)
		p.logged(replaced, good)
	})
}

// A hangingStorage hangs as long as its callers are patient.
type hangingStorage struct {
	certmagic.Storage
	hangs atomic.Bool
}

func (s *hangingStorage) Load(ctx context.Context, key string) ([]byte, error) {
	if s.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Storage.Load(ctx, key)
}

// A forgetfulStorage cannot tell when a value was stored, nor how large it is.
type forgetfulStorage struct{ certmagic.Storage }

func (forgetfulStorage) Stat(_ context.Context, key string) (certmagic.KeyInfo, error) {
	return certmagic.KeyInfo{Key: key, IsTerminal: true}, nil
}

func TestStorageThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFile(t, "https://a.test\n")
		storage := &hangingStorage{Storage: &certmagic.FileStorage{Path: filepath.Dir(f.path)}}
		p := poll(t, storedText{storage, "list"}, false)
		p.after(interval)
		storage.hangs.Store(true)
		f.write("https://b.test\n")
		p.after(interval + patience)
		p.allows(originA)
		p.logged("error list: no answer within 30s")
		p.after(time.Minute)
		p.logged("error list: no answer within 30s")
		storage.hangs.Store(false)
		p.after(patience + interval)
		p.allows(originB)
		p.logged(replaced, good)
	})
}

func TestStorageThatCannotTellVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFile(t, "https://a.test\n")
		p := poll(t, storedText{forgetfulStorage{&certmagic.FileStorage{Path: filepath.Dir(f.path)}}, "list"}, false)
		p.after(time.Minute)
		p.allows(originA)
		p.logged()
		f.write("https://b.test")
		p.after(interval)
		p.allows(originB)
		p.logged(replaced)
		f.write("")
		p.after(interval)
		p.allows(originB)
		p.logged("error list: it has no origins")
		f.write("https://a.test")
		p.after(interval)
		p.allows(originA)
		p.logged(replaced, good)
	})
}

// Requests see one list or the other, never a part of one, and wait for none.
func TestReplacementIsOneStep(t *testing.T) {
	lists := map[string]string{}
	for _, name := range []string{"a", "b"} {
		var text strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&text, "https://%s%d.test\n", name, i)
		}
		lists[name] = text.String()
	}
	p := &poller{name: "list", logger: zap.NewNop()}
	take := func(list string) {
		p.text = testText(list)
		if err := p.take(t.Context(), stamp{}); err != nil {
			t.Fatal(err)
		}
	}
	take(lists["a"])
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
			}
			l := p.list.Load()
			if l.allows("https://a0.test") != l.allows("https://a999.test") || l.allows("https://a0.test") == l.allows("https://b999.test") {
				t.Error("half a list")
				return
			}
		}
	}()
	for range 50 {
		for _, text := range lists {
			take(text)
		}
	}
	close(done)
	<-stopped
}

// A testText is one that does not change.
type testText string

func (t testText) stat(context.Context) (stamp, error) { return stamp{size: int64(len(t))}, nil }

func (t testText) read(_ context.Context, _ stamp, reading func(io.Reader) error) error {
	return reading(strings.NewReader(string(t)))
}
