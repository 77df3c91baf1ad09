"""The demo: five steps from training to scaling, as an ordinary client of a stack of its own."""
