package denials

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The numbers of denials are those under which they were last shown to this user, so they are kept where the user's
// programs keep what they can do without. A list that has moved since does not change what a number means.

// shown has the IDs of the denials that were last shown of each running Caddy, by the address of its admin API.
type shown map[string][]string

func shownFile() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "caddy-cors", "denials.json"), nil
}

func readShown() (shown, error) {
	path, err := shownFile()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return shown{}, nil
	}
	if err != nil {
		return nil, err
	}
	s := shown{}
	if json.Unmarshal(text, &s) != nil {
		return shown{}, nil // as if nothing had been shown
	}
	return s, nil
}

// remember keeps which denial was shown under which number.
func remember(address string, list []Denial) error {
	s, err := readShown()
	if err != nil {
		return err
	}
	ids := make([]string, 0, len(list))
	for _, d := range list {
		ids = append(ids, d.ID)
	}
	s[address] = ids
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	path, err := shownFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), "denials-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	if err := errors.Join(err, temporary.Close()); err != nil {
		os.Remove(temporary.Name())
		return err
	}
	return os.Rename(temporary.Name(), path)
}

// Numbered returns the denial of a report that was last shown under a number by `caddy cors denials`, for a running Caddy
// at the address of its admin API. The error says why there is none.
func (r Report) Numbered(address string, number int) (Denial, error) {
	s, err := readShown()
	if err != nil {
		return Denial{}, fmt.Errorf("the numbers of denials cannot be read: %w", err)
	}
	ids := s[address]
	switch {
	case len(ids) == 0:
		return Denial{}, fmt.Errorf("no denial of %s has been shown yet; its number is that of caddy cors denials: run that first", address)
	case number < 1 || number > len(ids):
		return Denial{}, fmt.Errorf("the list that was last shown has no number %d, only 1 to %d: run caddy cors denials again", number, len(ids))
	}
	for _, d := range r.Denials {
		if d.ID == ids[number-1] {
			return d, nil
		}
	}
	return Denial{}, fmt.Errorf("the denial that was shown as number %d is not in the list any more: run caddy cors denials again", number)
}
