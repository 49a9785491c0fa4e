module husk.test/runc

go 1.24
