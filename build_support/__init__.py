"""What the build hook needs to compile C: nothing here is installed with the package."""
