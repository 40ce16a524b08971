package origin

import (
	"bytes"
	"hash/maphash"
	"math/bits"
)

// texts is a set of texts without line breaks. It does not change. It is in shards, each with the texts whose hashes begin
// alike, and a set that is made from another shares with it the shards that are the same in both. A text takes some eight
// bytes besides its own, and none of them is a pointer, which the garbage collector would have to follow.
type texts struct {
	shards []shard // a power of two of them; none in the empty set
	groups []group // of all shards: each set has its own, in one piece, because the memory that look-ups go to first is small so
}

// A shard has the texts in one piece, each with a line break before and after it. Where they are is in groups, by their
// hashes; the first of these that is not full ends a search.
type shard struct {
	lines      []byte
	from, size uint32 // the first of its groups, and how many there are
	count      int
}

// A group has the places of texts, the first of them filled first.
type group struct {
	tags uint64            // a byte of each one's hash, the first in the lowest byte; 0 for a place that is empty
	ends [groupSize]uint32 // where the line break after the text is, in the lines of the shard
}

const (
	groupSize = 8

	// perGroup is how many texts there are for each group: with fewer, more groups are full, and with more, more is empty.
	perGroup = 6
)

const (
	// manyTexts are so many that they are worth being in manyShards. Below that, all are in one shard; but a set that is made
	// from one with many has as many, and can share them, unless it is much smaller.
	manyTexts  = 8192
	manyShards = 1024
)

// seed is that of all hashes: shards are shared between sets.
var seed = maphash.MakeSeed()

func hashOf(text []byte) uint64 { return maphash.Bytes(seed, text) }

// shardOf returns the index of the shard, of a power of two of them, that a text with this hash is in.
func shardOf(hash uint64, shards int) int {
	return int(hash >> (64 - bits.TrailingZeros(uint(shards))))
}

// has reports whether the set has a text.
func (t *texts) has(text string) bool {
	return len(t.shards) > 0 && find(t, maphash.String(seed, text), text) >= 0
}

// hasBytes likewise.
func (t *texts) hasBytes(text []byte) bool {
	return len(t.shards) > 0 && find(t, hashOf(text), text) >= 0
}

// find returns the place of a text of a set that is not empty, among those of all groups; -1 if it is not there.
func find[T string | []byte](t *texts, hash uint64, text T) int {
	s := &t.shards[shardOf(hash, len(t.shards))]
	if s.count == 0 {
		return -1
	}
	tag := tagOf(hash)
	for i := s.first(hash); ; i = s.next(i) {
		g := &t.groups[i]
		for m := g.matches(tag); m != 0; m &= m - 1 {
			place := bits.TrailingZeros64(m) / 8
			end := int(g.ends[place])
			if begin := end - len(text); begin > 0 && string(s.lines[begin:end]) == string(text) && s.lines[begin-1] == '\n' {
				return i*groupSize + place
			}
		}
		if !g.full() {
			return -1
		}
	}
}

// tagOf returns a byte of the hash that is not 0.
func tagOf(hash uint64) uint64 { return max(hash&0xff, 1) }

const everyByte = 0x0101010101010101

// matches has the highest bit of each byte of the tags that is the tag, and perhaps of others.
func (g *group) matches(tag uint64) uint64 {
	x := g.tags ^ tag*everyByte // in which these bytes are 0
	return (x - everyByte) &^ x & (everyByte << 7)
}

func (g *group) full() bool { return g.tags>>(8*(groupSize-1)) != 0 }

// first returns the group that a search for a hash begins at: its lower half, scaled to the number of groups.
func (s *shard) first(hash uint64) int {
	return int(s.from) + int(uint64(uint32(hash))*uint64(s.size)>>32)
}

func (s *shard) next(i int) int {
	if i++; i == int(s.from+s.size) {
		return int(s.from)
	}
	return i
}

// add adds a text, unless the set has it already. There has to be room for it in its shard.
func (t *texts) add(hash uint64, text []byte) {
	if find(t, hash, text) >= 0 {
		return
	}
	s := &t.shards[shardOf(hash, len(t.shards))]
	s.lines = append(s.lines, text...)
	i := s.first(hash)
	for t.groups[i].full() {
		i = s.next(i)
	}
	g := &t.groups[i]
	place := (bits.Len64(g.tags) + 7) / 8
	g.tags |= tagOf(hash) << (8 * place)
	g.ends[place] = uint32(len(s.lines))
	s.lines = append(s.lines, '\n')
	s.count++
}

// each calls f for each text of a shard with its place among those of its groups.
func (t *texts) each(i int, f func(place int, text []byte)) {
	s := &t.shards[i]
	for j := range t.groupsOf(s) {
		for k, end := range t.groups[int(s.from)+j].ends {
			if end != 0 {
				before := s.lines[:end]
				f(j*groupSize+k, before[bytes.LastIndexByte(before, '\n')+1:])
			}
		}
	}
}

func (t *texts) groupsOf(s *shard) []group { return t.groups[s.from:][:s.size] }

// sharedWith returns the set with the shards of the other wherever they have the same texts.
func (t *texts) sharedWith(other *texts) texts {
	if len(t.shards) != len(other.shards) || t.shares(other) {
		return *t
	}
	same := make([]bool, len(t.shards))
	for i := range t.shards {
		if same[i] = t.shards[i].count == other.shards[i].count && len(t.shards[i].lines) == len(other.shards[i].lines); same[i] {
			t.each(i, func(_ int, text []byte) { same[i] = same[i] && other.hasBytes(text) })
		}
	}
	return build(len(t.shards), other, func(i int) bool { return same[i] }, func(f func(hash uint64, text []byte)) {
		for i := range t.shards {
			if !same[i] {
				t.each(i, func(_ int, text []byte) { f(hashOf(text), text) })
			}
		}
	})
}

// sharesShard reports whether a shard of both sets is the same one.
func (t *texts) sharesShard(other *texts, i int) bool {
	a, b := t.shards[i].lines, other.shards[i].lines
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// shares reports whether all shards of both sets are the same ones.
func (t *texts) shares(other *texts) bool {
	if len(t.shards) != len(other.shards) {
		return false
	}
	for i := range t.shards {
		if !t.sharesShard(other, i) {
			return false
		}
	}
	return true
}

// build returns a set of n shards: those of another set that are shared, and others with the texts that each calls its
// function for, which are not for those.
func build(n int, base *texts, shared func(i int) bool, each func(f func(hash uint64, text []byte))) texts {
	// The room that each shard needs is counted first, so that none has more of it.
	type room struct{ count, size int }
	rooms := make([]room, n)
	all := 0
	each(func(hash uint64, text []byte) {
		r := &rooms[shardOf(hash, n)]
		r.count++
		r.size += len(text) + 1
		all++
	})
	next := texts{shards: make([]shard, n)}
	groups := 0
	for i := range next.shards {
		s := &next.shards[i]
		switch {
		case shared(i):
			*s = base.shards[i]
		case rooms[i].count > 0:
			s.size = uint32(rooms[i].count/perGroup + 1)
			s.lines = append(make([]byte, 0, 1+rooms[i].size), '\n')
		}
		s.from = uint32(groups)
		groups += int(s.size)
	}
	next.groups = make([]group, groups)
	for i := range next.shards {
		if shared(i) {
			copy(next.groupsOf(&next.shards[i]), base.groupsOf(&base.shards[i]))
		}
	}
	each(next.add)
	for i := range next.shards {
		if !shared(i) {
			all -= next.shards[i].count
		}
	}
	if all == 0 {
		return next
	}
	// Some came more than once, and there is room for them each time.
	return build(n, base, shared, func(f func(hash uint64, text []byte)) {
		for i := range next.shards {
			if !shared(i) {
				next.each(i, func(_ int, text []byte) { f(hashOf(text), text) })
			}
		}
	})
}

// A textsRevision makes a set from another.
type textsRevision struct {
	base    texts
	kept    [][]uint8 // of each shard of the base, for each group the bits of the places whose texts are kept
	counts  []int     // of these bits
	added   [][]byte  // what the base does not have, in blocks of lines
	entries int       // of both, with what was added twice
}

// blockSize is that of the blocks of added texts, except where one alone is longer.
const blockSize = 64 << 10

func newTextsRevision(base texts) textsRevision {
	return textsRevision{base: base, kept: make([][]uint8, len(base.shards)), counts: make([]int, len(base.shards))}
}

// keep reports whether the base has the text, which the new set then has, too.
func (r *textsRevision) keep(text []byte) bool {
	if len(r.base.shards) == 0 {
		return false
	}
	hash := hashOf(text)
	place := find(&r.base, hash, text)
	if place < 0 {
		return false
	}
	i := shardOf(hash, len(r.base.shards))
	place -= int(r.base.shards[i].from) * groupSize
	if r.kept[i] == nil {
		r.kept[i] = make([]uint8, r.base.shards[i].size)
	}
	if bit := uint8(1) << (place % groupSize); r.kept[i][place/groupSize]&bit == 0 {
		r.kept[i][place/groupSize] |= bit
		r.counts[i]++
		r.entries++
	}
	return true
}

// add adds a text that the base does not have.
func (r *textsRevision) add(text string) {
	last := len(r.added) - 1
	if last < 0 || len(r.added[last])+len(text)+1 > cap(r.added[last]) {
		size := blockSize
		if last < 0 {
			size = 0 // most lists are short, and most revisions add little
		}
		r.added = append(r.added, make([]byte, 0, max(size, len(text)+1)))
		last++
	}
	r.added[last] = append(append(r.added[last], text...), '\n')
	r.entries++
}

// texts returns the new set. It ends the revision.
func (r *textsRevision) texts() texts {
	if r.entries == 0 {
		return texts{}
	}
	n := 1
	if r.entries >= manyTexts || len(r.base.shards) == manyShards && r.entries >= manyTexts/4 {
		n = manyShards
	}
	changed := make([]bool, n) // the shards that something is added to
	for _, block := range r.added {
		eachLine(block, func(hash uint64, _ []byte) { changed[shardOf(hash, n)] = true })
	}
	shared := func(i int) bool {
		return n == len(r.base.shards) && !changed[i] && r.counts[i] == r.base.shards[i].count
	}
	unshared := 0
	for i := range n {
		if !shared(i) {
			unshared++
		}
	}
	if unshared == 0 {
		return r.base
	}
	return build(n, &r.base, shared, func(f func(hash uint64, text []byte)) {
		for i := range r.base.shards {
			if !shared(min(i, n-1)) && r.counts[i] > 0 {
				r.eachKept(i, f)
			}
		}
		for _, block := range r.added {
			eachLine(block, f)
		}
	})
}

// eachKept calls f for each text of a shard of the base that is kept.
func (r *textsRevision) eachKept(i int, f func(hash uint64, text []byte)) {
	r.base.each(i, func(place int, text []byte) {
		if r.kept[i][place/groupSize]&(1<<(place%groupSize)) != 0 {
			f(hashOf(text), text)
		}
	})
}

func eachLine(block []byte, f func(hash uint64, text []byte)) {
	for len(block) > 0 {
		end := bytes.IndexByte(block, '\n')
		f(hashOf(block[:end]), block[:end])
		block = block[end+1:]
	}
}
