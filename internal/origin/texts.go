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
}

// A shard has the texts in one piece, each with a line break before and after it, and where they are, by their hashes: in
// groups, the first of which that is not full ends a search.
type shard struct {
	groups []group
	lines  []byte
	count  int
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
func (t texts) has(text string) bool {
	if len(t.shards) == 0 {
		return false
	}
	hash := maphash.String(seed, text)
	return find(&t.shards[shardOf(hash, len(t.shards))], hash, text) >= 0
}

// hasBytes likewise.
func (t texts) hasBytes(text []byte) bool {
	if len(t.shards) == 0 {
		return false
	}
	hash := hashOf(text)
	return find(&t.shards[shardOf(hash, len(t.shards))], hash, text) >= 0
}

// find returns the place of a text among those of all groups of the shard; -1 if it is not there.
func find[T string | []byte](s *shard, hash uint64, text T) int {
	if s.count == 0 {
		return -1
	}
	tag := tagOf(hash)
	for i := s.first(hash); ; i = s.next(i) {
		g := &s.groups[i]
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
	return int(uint64(uint32(hash)) * uint64(len(s.groups)) >> 32)
}

func (s *shard) next(i int) int {
	if i++; i == len(s.groups) {
		return 0
	}
	return i
}

// newShard returns an empty shard with room for so many texts, and for so many bytes of them and their line breaks.
func newShard(count, size int) shard {
	return shard{groups: make([]group, count/perGroup+1), lines: append(make([]byte, 0, 1+size), '\n')}
}

// add adds a text, unless the shard has it already.
func (s *shard) add(hash uint64, text []byte) {
	if find(s, hash, text) >= 0 {
		return
	}
	s.lines = append(s.lines, text...)
	i := s.first(hash)
	for s.groups[i].full() {
		i = s.next(i)
	}
	g := &s.groups[i]
	place := (bits.Len64(g.tags) + 7) / 8
	g.tags |= tagOf(hash) << (8 * place)
	g.ends[place] = uint32(len(s.lines))
	s.lines = append(s.lines, '\n')
	s.count++
}

// each calls f for each text of the shard with its place.
func (s *shard) each(f func(place int, text []byte)) {
	for i := range s.groups {
		for j, end := range s.groups[i].ends {
			if end != 0 {
				before := s.lines[:end]
				f(i*groupSize+j, before[bytes.LastIndexByte(before, '\n')+1:])
			}
		}
	}
}

// sameAs reports whether both shards have the same texts.
func (p *shard) sameAs(other *shard) bool {
	if p.count != other.count || len(p.lines) != len(other.lines) {
		return false
	}
	same := true
	p.each(func(_ int, text []byte) {
		if same {
			same = find(other, hashOf(text), text) >= 0
		}
	})
	return same
}

// sharedWith returns the set with the shards of the other wherever they are the same.
func (t texts) sharedWith(other texts) texts {
	if len(t.shards) != len(other.shards) {
		return t
	}
	shared := texts{make([]shard, len(t.shards))}
	for i := range t.shards {
		shared.shards[i] = t.shards[i]
		if !t.sharesShard(other, i) && t.shards[i].sameAs(&other.shards[i]) {
			shared.shards[i] = other.shards[i]
		}
	}
	return shared
}

// sharesShard reports whether a shard of both sets is the same one.
func (t texts) sharesShard(other texts, i int) bool {
	a, b := t.shards[i].groups, other.shards[i].groups
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// shares reports whether all shards of both sets are the same ones.
func (t texts) shares(other texts) bool {
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
	i := shardOf(hash, len(r.base.shards))
	place := find(&r.base.shards[i], hash, text)
	if place < 0 {
		return false
	}
	if r.kept[i] == nil {
		r.kept[i] = make([]uint8, len(r.base.shards[i].groups))
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
	var next texts
	next.shards = make([]shard, n)

	// The room that each shard needs is counted first, so that none has more of it.
	type room struct{ count, size int }
	rooms := make([]room, n)
	count := func(hash uint64, text []byte) {
		i := shardOf(hash, n)
		rooms[i].count++
		rooms[i].size += len(text) + 1
	}
	for _, block := range r.added {
		eachLine(block, count)
	}
	shared := func(i int) bool {
		return n == len(r.base.shards) && rooms[i].count == 0 && r.counts[i] == r.base.shards[i].count
	}
	unshared := make([]int, 0, len(r.base.shards)) // what of the base is copied, as far as it is kept
	for i := range r.base.shards {
		if shared(i) {
			next.shards[i] = r.base.shards[i]
		} else if r.counts[i] > 0 {
			unshared = append(unshared, i)
		}
	}
	for _, i := range unshared {
		r.eachKept(i, count)
	}
	for i, room := range rooms {
		if room.count > 0 {
			next.shards[i] = newShard(room.count, room.size)
		}
	}
	add := func(hash uint64, text []byte) { next.shards[shardOf(hash, n)].add(hash, text) }
	for _, i := range unshared {
		r.eachKept(i, add)
	}
	for i, block := range r.added {
		eachLine(block, add)
		r.added[i] = nil
	}
	for i, room := range rooms {
		if p := &next.shards[i]; p.count < room.count { // some were added twice
			exact := newShard(p.count, len(p.lines))
			p.each(func(_ int, text []byte) { exact.add(hashOf(text), text) })
			*p = exact
		}
	}
	return next
}

// eachKept calls f for each text of a shard of the base that is kept.
func (r *textsRevision) eachKept(i int, f func(hash uint64, text []byte)) {
	r.base.shards[i].each(func(place int, text []byte) {
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
