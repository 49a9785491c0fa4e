module husk.test/pod

go 1.24
