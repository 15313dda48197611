package machine

import (
	"creatic-poste/internal/config"
)

// Install puts the machine's part.
func (p Place) Install(c *config.Config) (*Report, error) {
	m, err := readManifest(p.manifest())
	if err != nil {
		return nil, err
	}
	wanted, others, err := p.wanted(c)
	if err != nil {
		return nil, err
	}
	r, err := settle(p.target(), m, wanted)
	r.Kept = append(r.Kept, others...)
	return r, err
}

// Remove takes the machine's part away.
func (p Place) Remove() (*Report, error) {
	m, err := readManifest(p.manifest())
	if err != nil {
		return nil, err
	}
	return removeAll(p.target(), m)
}

// Point is one thing that the machine's part must have.
type Point struct {
	What    string `json:"quoi"`
	Present bool   `json:"present"`
	Item    Item   `json:"-"`
	Fault   error  `json:"-"` // it could not be read
}

// Verify tells what is there, and what lacks.
func (p Place) Verify(c *config.Config) ([]Point, []string, error) {
	wanted, others, err := p.wanted(c)
	if err != nil {
		return nil, nil, err
	}
	var points []Point
	for _, item := range wanted {
		there, err := p.target().read(item)
		if err != nil {
			others = append(others, item.Where+" : "+err.Error())
		}
		points = append(points, Point{describe(item), there != nil && there.same(item), item, err})
	}
	return points, others, nil
}
