package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"andon.internal/collector/account"
)

//go:embed templates/*.html
var templateFiles embed.FS

// pages renders the pages. What they show without JavaScript is what the custom
// elements show with it; assets/src has the other half.
type pages struct {
	web  *Web
	sets map[string]*template.Template
}

func newPages(w *Web) (*pages, error) {
	p := &pages{web: w, sets: map[string]*template.Template{}}
	for _, name := range []string{"fleet", "unit", "missing"} {
		t, err := template.New("layout.html").Funcs(p.functions()).
			ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("read page %s: %w", name, err)
		}
		p.sets[name] = t
	}
	for _, name := range []string{"login", "onward"} {
		t, err := template.New(name+".html").Funcs(p.functions()).ParseFS(templateFiles, "templates/parts.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("read page %s: %w", name, err)
		}
		p.sets[name] = t
	}
	return p, nil
}

func (p *pages) functions() template.FuncMap {
	return template.FuncMap{
		"asset": p.web.assets.URL,
		"age":   func(since, now int64) string { return ageText(time.Duration(now-since) * time.Millisecond) },
		"span":  func(ms int64) string { return ageText(time.Duration(ms) * time.Millisecond) },
		"clock": func(ms int64) string {
			if ms == 0 {
				return "never"
			}
			return p.web.links.clock(time.UnixMilli(ms))
		},
		"day": func(ms int64) string {
			if ms == 0 {
				return ""
			}
			return time.UnixMilli(ms).In(p.web.config.Location).Format("2006-01-02 15:04:05")
		},
		"count":   groupDigits,
		"plain":   plainText,
		"title":   titleCase,
		"percent": percentText,
		"millis":  millis,
		"tally":   tallyOf,
	}
}

// page is what every page has.
type page struct {
	Stamp
	Title, Theme string
	Wall         bool
	Path         string // of the page, for forms to come back to
	Site         string
	Alarms       []alarmView
	Tally        tally
	NowMS        int64
	Clock        string
	User, Role   string // who is logged in; empty: nobody has to
	FormKey      string // what the session's forms must carry
	MayAck       bool
}

// themeOf is the theme that the browser was told to show.
func themeOf(r *http.Request) string {
	if c, err := r.Cookie("theme"); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

func (p *pages) base(r *http.Request, s Stamp, alarms []alarmView, title string) page {
	if s.Source == Simulated {
		title = "SIM " + title
	}
	now := s.Now.In(p.web.config.Location)
	v := visitorOf(r)
	return page{
		User: v.name, Role: string(v.role), FormKey: v.formKey, MayAck: v.may(account.Acknowledge),
		Stamp: s, Title: title, Theme: themeOf(r), Wall: r.URL.Query().Get("wall") == "1", Path: r.URL.RequestURI(),
		Site: p.web.config.Site, Alarms: alarms, Tally: tallyOf(alarms, s.Now), NowMS: millis(s.Now),
		Clock: now.Format("15:04:05") + " " + offsetText(s.Offset),
	}
}

// fleet renders the page of everything.
func (p *pages) fleet(rw http.ResponseWriter, r *http.Request) {
	f := p.web.snapshot()
	v := fleetPage{
		page: p.base(r, f.Stamp, f.Alarms, "Fleet"), Cells: f.Cells,
		View: r.URL.Query().Get("view"),
	}
	v.Lines, v.Counts, v.Worst = linesOf(&f, v.View, v.Wall)
	p.render(rw, http.StatusOK, "fleet", v)
}

// unit renders the page of one unit.
func (p *pages) unit(rw http.ResponseWriter, r *http.Request) {
	group, unit := r.PathValue("group"), r.PathValue("unit")
	d, found := p.web.unitPage(r.Context(), group, unit)
	if !found {
		p.notFound(rw, r)
		return
	}
	v := unitPageView{
		page:  p.base(r, d.Stamp, d.all, unit),
		Group: group, Unit: unit, Runs: d.Runs, RunsFrom: d.RunsFrom, Ranges: ranges, Range: r.URL.Query().Get("range"),
		From: r.URL.Query().Get("from"), To: r.URL.Query().Get("to"),
	}
	v.Alarms = d.Alarms
	if v.Range == "" && v.From == "" {
		v.Range = "15m"
	}
	if d.Unit != nil {
		v.row(d.Unit, d.Profiles[d.Unit.Profile], d.Alarms)
	}
	v.table(p.web, r)
	p.render(rw, http.StatusOK, "unit", v)
}

func (p *pages) notFound(rw http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		p.web.refuse(rw, http.StatusNotFound, "there is nothing at this address")
		return
	}
	pic := p.web.sources.Plant.Snapshot(p.web.config.Now())
	p.render(rw, http.StatusNotFound, "missing", p.base(r, p.web.links.stamp(&pic), alarmViews(pic.Alarms), "Not found"))
}

// onward renders a page that leads to another at once.
func (p *pages) onward(rw http.ResponseWriter, r *http.Request, back string) {
	p.render(rw, http.StatusOK, "onward", loginPage{Title: "Continue", Theme: themeOf(r), Back: back})
}

func (p *pages) render(rw http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := p.sets[name].Execute(&b, data); err != nil {
		p.web.log.Error("a page could not be made", "page", name, "error", err)
		http.Error(rw, "This page could not be made; the log says why.", http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.Header().Set("Vary", "Cookie")
	rw.WriteHeader(status)
	if _, err := rw.Write(b.Bytes()); err != nil {
		p.web.log.Debug("a page was cut off", "error", err)
	}
}

// seriesURL is where the data of a unit's chart is.
func seriesURL(group, unit string, q url.Values) string {
	return "/api/v1/units/" + url.PathEscape(group) + "/" + url.PathEscape(unit) + "/series?" + q.Encode()
}
