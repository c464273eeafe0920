"""The joint of Encore: looks at a recording, runs picture and sound, and joins the result."""
