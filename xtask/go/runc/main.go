// Stands before runc where a machine may do less than CRI-O asks of runc: what it may not is taken out of the bundle first.
// containerd can be told the same in its configuration, CRI-O cannot.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	runc           = "/usr/sbin/runc"
	capSysResource = 24
)

type object = map[string]any

// Whether this process may have the capability; so may then what it starts.
func bounded(capability uint) bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return true
	}
	for _, line := range strings.Split(string(status), "\n") {
		if value, found := strings.CutPrefix(line, "CapBnd:"); found {
			set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return err != nil || set&(1<<capability) != 0
		}
	}
	return true
}

// Whether the machine has a hierarchy of cgroups for huge pages. The directory alone says nothing: systemd makes it everywhere.
func limitsHugepages() bool {
	groups, err := os.ReadFile("/proc/self/cgroup")
	return err != nil || strings.Contains(string(groups), "hugetlb")
}

// The bundle that is about to become a container.
func bundle(arguments []string) (string, bool) {
	place, creates := ".", false
	for index, argument := range arguments {
		switch {
		case argument == "create" || argument == "run":
			creates = true
		case (argument == "--bundle" || argument == "-b") && index+1 < len(arguments):
			place = arguments[index+1]
		case strings.HasPrefix(argument, "--bundle="):
			place = strings.TrimPrefix(argument, "--bundle=")
		}
	}
	return place, creates
}

func mend(file string) error {
	content, err := os.Open(file)
	if err != nil {
		return err
	}
	defer content.Close()
	decoder := json.NewDecoder(content)
	decoder.UseNumber()
	var spec object
	if err := decoder.Decode(&spec); err != nil {
		return err
	}
	process, _ := spec["process"].(object)
	if !bounded(capSysResource) && process != nil {
		if score, ok := process["oomScoreAdj"].(json.Number); ok && strings.HasPrefix(score.String(), "-") {
			process["oomScoreAdj"] = 0
		}
		sets, _ := process["capabilities"].(object)
		for name, set := range sets {
			var allowed []any
			names, _ := set.([]any)
			for _, one := range names {
				if one != "CAP_SYS_RESOURCE" {
					allowed = append(allowed, one)
				}
			}
			sets[name] = allowed
		}
	}
	if !limitsHugepages() {
		linux, _ := spec["linux"].(object)
		resources, _ := linux["resources"].(object)
		delete(resources, "hugepageLimits")
	}
	mended, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(file, mended, 0o600)
}

func main() {
	arguments := os.Args[1:]
	if place, creates := bundle(arguments); creates {
		if err := mend(filepath.Join(place, "config.json")); err != nil {
			fmt.Fprintln(os.Stderr, "runc:", err)
			os.Exit(1)
		}
	}
	err := syscall.Exec(runc, append([]string{"runc"}, arguments...), os.Environ())
	fmt.Fprintln(os.Stderr, runc+":", err)
	os.Exit(1)
}
